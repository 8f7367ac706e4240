//! `mailchute import`: a configuration of each program becomes an account that works.

use crate::support::*;
use std::fs;

/// Another program's files, `$PORT`, `$USER`, `$PASSWORD` and `$CA` in them to be filled in; the first is the one to name.
struct Other {
    program: &'static str,
    files: &'static [(&'static str, &'static str)],
}

const OTHERS: [Other; 6] = [
    Other {
        program: "msmtp",
        files: &[(
            "msmtprc",
            "defaults\nauth on\ntls on\ntls_trust_file $CA\n\naccount one\nhost localhost\nport $PORT\nuser $USER\n\
             password \"$PASSWORD\"\nfrom alice@example.test\n",
        )],
    },
    Other {
        program: "ssmtp",
        files: &[
            (
                "ssmtp.conf",
                "mailhub=localhost:$PORT\nAuthUser=$USER\nAuthPass=$PASSWORD\nUseSTARTTLS=YES\nTLS_CA_File=$CA\n",
            ),
            ("revaliases", "root:alice@example.test:localhost:$PORT\n"),
        ],
    },
    Other {
        program: "nullmailer",
        files: &[(
            "remotes",
            "localhost smtp --port=$PORT --starttls --user=$USER --pass=$PASSWORD --x509cafile=$CA\n",
        )],
    },
    Other {
        program: "dma",
        files: &[
            ("dma.conf", "SMARTHOST localhost\nPORT $PORT\nAUTHPATH auth.conf\nSECURETRANSFER\nSTARTTLS\n"),
            ("auth.conf", "$USER|localhost:$PASSWORD\n"),
        ],
    },
    Other {
        program: "postfix",
        files: &[
            (
                "main.cf",
                "relayhost = [localhost]:$PORT\nsmtp_sasl_password_maps = hash:sasl_passwd\n\
                 smtp_tls_security_level = encrypt\nsmtp_tls_CAfile = $CA\n",
            ),
            ("sasl_passwd", "[localhost]:$PORT $USER:$PASSWORD\n"),
        ],
    },
    Other {
        program: "git",
        files: &[(
            "gitconfig",
            "[sendemail]\nsmtpServer = localhost\nsmtpServerPort = $PORT\nsmtpEncryption = tls\nsmtpUser = $USER\n\
             smtpPass = $PASSWORD\n",
        )],
    },
];

#[test]
fn a_configuration_of_each_program_becomes_an_account_that_works() {
    for Other { program, files } in OTHERS {
        let relay = Relay::start(Script::starttls().login(USER, PASSWORD));
        let sandbox = Sandbox::empty();
        for (name, text) in files {
            let text = text.replace("$PORT", &relay.port().to_string()).replace("$USER", USER);
            let text = text.replace("$PASSWORD", PASSWORD).replace("$CA", sandbox.path("ca.pem").to_str().unwrap());
            sandbox.write_private(name, &text);
        }
        let file = sandbox.path(files[0].0);
        let arguments = ["import", program, file.to_str().unwrap(), "--write"];
        let said = sandbox.mailchute(arguments).prints();
        assert!(said.contains(&format!(" in {}", sandbox.config().display())), "{program}: {said}");
        let run = sandbox.sendmail(["-t", "-f", "alice@example.test"]).env("SSL_CERT_FILE", sandbox.path("ca.pem"));
        run.input(MESSAGE).silent();
        assert_eq!(relay.message().to(), ["bob@example.org"], "{program}");
        let again = sandbox.mailchute(arguments).fails(78);
        assert!(again.contains("--replace"), "{again}");
    }
}

#[test]
fn without_write_the_accounts_are_printed_and_what_is_lost_is_said() {
    let sandbox = Sandbox::empty();
    let text = "account a\nhost smtp.x.example\ntls on\nauth on\nuser me\npassword p\ntls_certcheck off\n";
    sandbox.write_private("msmtprc", text);
    let file = sandbox.path("msmtprc");
    let finished = sandbox.mailchute(["import", "msmtp", file.to_str().unwrap()]).finish().exits(0);
    assert_eq!(finished.stdout, "[accounts.a]\nhost = \"smtp.x.example\"\nuser = \"me\"\npassword = \"p\"\n");
    assert_eq!(
        finished.stderr,
        format!("mailchute: warning: {}:7: certificates are always verified here\n", file.display())
    );
    assert!(!sandbox.config().exists());
}

#[test]
fn what_cannot_be_read_or_is_no_account_is_said() {
    let sandbox = Sandbox::empty();
    assert!(sandbox.mailchute(["import", "msmtp", "/no/such"]).fails(65).contains("/no/such: No such file"));
    sandbox.write_private("dma.conf", "PORT 25\n");
    let file = sandbox.path("dma.conf");
    let said = sandbox.mailchute(["import", "dma", file.to_str().unwrap()]).fails(65);
    assert!(said.contains("no SMARTHOST") && said.contains("no account was found"), "{said}");
    sandbox.mailchute(["import", "exim"]).fails(64);
    fs::write(sandbox.path("main.cf"), "relayhost = smtp.x.example\nsmtp_sasl_password_maps = hash:none\n").unwrap();
    let file = sandbox.path("main.cf");
    assert!(
        sandbox
            .mailchute(["import", "postfix", file.to_str().unwrap()])
            .finish()
            .stderr
            .contains("none cannot be read")
    );
}

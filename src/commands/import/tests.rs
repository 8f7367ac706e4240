//! Real-looking configurations of each program, and the whole of what becomes of them.

use super::*;

fn toml(mut found: Found) -> (String, Vec<String>) {
    found.settle();
    let mut editor = Editor::open(Path::new("/no/such.toml")).unwrap();
    put(&found, &mut editor);
    (editor.text().to_string(), found.lost)
}

fn nothing(_: &str) -> Option<String> {
    None
}

#[test]
fn msmtp_sections_inherit() {
    let text = "# mine\ndefaults\nauth on\ntls on\ntls_trust_file /etc/ssl/x.pem\nlogfile ~/.msmtp.log\n\n\
                account gmail\nhost smtp.gmail.com\nport 587\nfrom me@gmail.com\nuser me@gmail.com\n\
                passwordeval \"gpg -q -d ~/.gmail.gpg\"\n\n\
                account work : gmail\nhost smtp.work.example\ntls_starttls off\nport 465\nuser me\nfrom me@work.example\n\
                password \"a b\"\ntls_certcheck off\nproxy_host localhost\n\naccount default : work\naliases /etc/al\n";
    let read = |name: &str| (name == "/etc/al").then(|| "root: me@gmail.com\ndefault: me@work.example\n".to_owned());
    let without_aliases = text.replace("aliases /etc/al\n", "");
    let (made, lost) = toml(msmtp::read(&without_aliases, "rc", &read));
    assert_eq!(
        made,
        "default-account = \"work\"\n\n\
         [accounts.gmail]\nprovider = \"gmail\"\nport = 587\ntls-ca-file = \"/etc/ssl/x.pem\"\nuser = \"me@gmail.com\"\n\
         password-command = [\"sh\", \"-c\", \"gpg -q -d ~/.gmail.gpg\"]\nfrom = \"me@gmail.com\"\n\n\
         [accounts.work]\nhost = \"smtp.work.example\"\nport = 465\ntls-ca-file = \"/etc/ssl/x.pem\"\nuser = \"me\"\n\
         password = \"a b\"\nfrom = \"me@work.example\"\n"
    );
    assert_eq!(
        lost,
        [
            "rc:6: logfile is not carried over",
            "rc:23: proxy_host is not carried over",
            "rc:22: certificates are always verified here"
        ]
    );
    let (made, _) = toml(msmtp::read(text, "rc", &read));
    assert!(made.ends_with("[aliases]\nroot = \"me@gmail.com\"\n\"*\" = \"me@work.example\"\n"), "{made}");
}

#[test]
fn a_certificate_that_logs_in_is_carried_over() {
    let text = "account a\nhost mail.x.example\nport 465\ntls on\ntls_starttls off\nauth external\nuser me\n\
                password x\nfrom me@x.example\ntls_cert_file ~/me.pem\ntls_key_file ~/me.key\n";
    let (made, lost) = toml(msmtp::read(text, "rc", &nothing));
    assert_eq!(
        made,
        "[accounts.a]\nhost = \"mail.x.example\"\nport = 465\ntls-cert-file = \"~/me.pem\"\n\
         tls-key-file = \"~/me.key\"\nuser = \"me\"\nauth = \"external\"\nfrom = \"me@x.example\"\n"
    );
    assert_eq!(lost, ["account a: EXTERNAL takes no password, so there is none"]);
}

#[test]
fn ssmtp_has_one_relay() {
    let text = "root=admin@x.example\nmailhub=smtp.x.example:587\nAuthUser=me\nAuthPass=se=cret\nUseSTARTTLS=YES\n\
                rewriteDomain=x.example\nFromLineOverride=YES\nTLSCert=/x\nTLSKey=/y\n";
    let revaliases = "# comment\nroot:me@x.example:smtp.x.example:587\nwww-data:web@x.example:other.example\n";
    let (made, lost) = toml(ssmtp::read(text, "ssmtp.conf", Some(revaliases)));
    assert_eq!(
        made,
        "domain = \"x.example\"\n\n[accounts.x]\nhost = \"smtp.x.example\"\nport = 587\n\
         tls-cert-file = \"/x\"\ntls-key-file = \"/y\"\nuser = \"me\"\n\
         password = \"se=cret\"\nfrom = \"me@x.example\"\nidentities = [\"web@x.example\"]\n\n\
         [aliases]\nroot = \"admin@x.example\"\n"
    );
    assert_eq!(lost.len(), 2, "{lost:?}");
}

#[test]
fn nullmailer_remotes_stand_in_for_each_other() {
    let text =
        "smtp.gmail.com smtp --port=465 --ssl --user=me@gmail.com --pass='se cret'\n# old\nbackup.x.example smtp\n";
    let beside = |name: &str| match name {
        "me" => Some("web1.x.example".to_owned()),
        "adminaddr" => Some("admin@x.example".to_owned()),
        _ => None,
    };
    let (made, lost) = toml(nullmailer::read(text, "remotes", &beside));
    assert_eq!(
        made,
        "domain = \"web1.x.example\"\n\n[accounts.gmail]\nprovider = \"gmail\"\nport = 465\nuser = \"me@gmail.com\"\n\
         password = \"se cret\"\nfallback = [\"x\"]\n\n[accounts.x]\nhost = \"backup.x.example\"\n\n\
         [aliases]\n\"*\" = \"admin@x.example\"\n"
    );
    assert_eq!(lost, ["account x: it sent in clear, here TLS is always used"]);
}

#[test]
fn dma_finds_its_login_by_the_smart_host() {
    let text = "# x\nSMARTHOST smtp.x.example\nPORT 587\nALIASES /etc/aliases\nAUTHPATH /etc/dma/auth.conf\n\
                SECURETRANSFER\nSTARTTLS\nMASQUERADE me@x.example\nMAILNAME x.example\nINSECURE\n";
    let read = |name: &str| {
        (name == "/etc/dma/auth.conf").then(|| "# c\nyou|other.example:no\nme|smtp.x.example:se:cret\n".to_owned())
    };
    let (made, lost) = toml(dma::read(text, "dma.conf", &read));
    assert_eq!(
        made,
        "domain = \"x.example\"\n\n[accounts.x]\nhost = \"smtp.x.example\"\nport = 587\nuser = \"me\"\n\
         password = \"se:cret\"\nfrom = \"me@x.example\"\nrewrite-from = \"always\"\n"
    );
    assert_eq!(lost, ["dma.conf:10: INSECURE is not carried over"]);
    assert!(dma::read("PORT 25\n", "dma.conf", &nothing).accounts.is_empty());
}

#[test]
fn postfix_finds_its_login_by_the_relay_host() {
    let text = "myhostname = web1.x.example\nrelayhost =\n  [smtp.x.example]:submission\nsmtp_sasl_auth_enable = yes\n\
                smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd\nsmtp_tls_security_level = encrypt\n\
                smtp_generic_maps = hash:/x\nmydestination =\n";
    let read = |name: &str| {
        (name == "/etc/postfix/sasl_passwd").then(|| "[smtp.x.example]:submission   me@x.example:se:cret\n".to_owned())
    };
    let (made, lost) = toml(postfix::read(text, "main.cf", &read));
    assert_eq!(
        made,
        "[accounts.x]\nhost = \"smtp.x.example\"\nport = 587\nuser = \"me@x.example\"\npassword = \"se:cret\"\n"
    );
    assert_eq!(lost, ["main.cf:7: smtp_generic_maps is not carried over; see identities, rewrite-from and auth"]);
    let (made, _) = toml(postfix::read("relayhost = smtp.x.example:465\nsmtp_tls_wrappermode = yes\n", "m", &nothing));
    assert_eq!(made, "[accounts.x]\nhost = \"smtp.x.example\"\nport = 465\n");
}

#[test]
fn git_identities_have_what_they_do_not_say_from_the_general_settings() {
    let text = "user.name\nMe\0sendemail.smtpserver\nsmtp.gmail.com\0sendemail.smtpencryption\ntls\0\
                sendemail.smtpserverport\n587\0sendemail.smtpuser\nme@gmail.com\0sendemail.from\nMe <me@gmail.com>\0\
                sendemail.work.smtpserver\nsmtp.work.example\0sendemail.work.smtppass\nsecret\0\
                sendemail.local.smtpserver\n/usr/bin/msmtp\0sendemail.identity\nwork\0";
    let (made, lost) = toml(git::read(text));
    assert_eq!(
        made,
        "default-account = \"work\"\n\n[accounts.git]\nprovider = \"gmail\"\nport = 587\nuser = \"me@gmail.com\"\n\
         git-credential = true\nfrom = \"me@gmail.com\"\n\n[accounts.work]\nhost = \"smtp.work.example\"\nport = 587\n\
         user = \"me@gmail.com\"\npassword = \"secret\"\nfrom = \"me@gmail.com\"\n"
    );
    assert_eq!(lost, ["sendemail (local): smtpserver is a program, /usr/bin/msmtp, and no relay"]);
}

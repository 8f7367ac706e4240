//! OAuth 2 as a person and a queue meet it: a login through a browser or a code, tokens that end and are renewed once
//! for all, logins that end and hold the account, and nothing of it in any output.

use crate::setup;
use crate::support::*;
use provider::{CLIENT, Provider};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

/// A relay that lets in whoever has one of the first tokens of a provider.
fn relay_for(tokens: impl IntoIterator<Item = usize>) -> Relay {
    let script = Script::starttls().mechanisms("PLAIN LOGIN XOAUTH2");
    Relay::start(tokens.into_iter().fold(script, |script, n| script.login(USER, &Provider::access(n))))
}

fn world(relay: &Relay, provider: &Provider) -> Sandbox {
    Sandbox::for_relay(relay).replace(&format!("password = \"{PASSWORD}\""), &provider.line())
}

/// Every secret of a provider begins with the same word, and is looked for in base64, too.
fn shows_no_secret(text: &str) {
    let refresh = |n| format!("CANARY-refresh-{n}-abcdefghijklmnopqrstuvwxyz");
    let secrets = (0..3).flat_map(|n| [Provider::access(n), refresh(n)]);
    let traces = secrets.flat_map(|secret| spellings_of(&secret)).chain(["CANARY".to_owned()]);
    traces.for_each(|trace| assert!(!text.contains(&trace), "a secret is shown as {trace}: {text}"));
}

/// Starts a login and hands over the address that it shows.
fn begin_login(sandbox: &Sandbox, arguments: &[&str]) -> (run::Started, String) {
    let run = sandbox.mailchute(arguments).within(sandbox.root()).through_shell("exec \"$@\" > shown 2>&1");
    let _ = fs::remove_file(sandbox.path("shown"));
    let started = run.start();
    let shown = || fs::read_to_string(sandbox.path("shown")).unwrap_or_default();
    eventually("the address is shown", || shown().contains("Waiting"));
    let address = shown().lines().find(|line| line.contains("/authorize?")).unwrap_or_default().to_owned();
    (started, address)
}

/// What a browser gets that goes there.
fn browse(address: &str) -> String {
    let (authority, target) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = TcpStream::connect(authority).unwrap();
    write!(socket, "GET /{target} HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page
}

fn shown(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("shown")).unwrap()
}

#[test]
fn a_login_through_the_browser_is_all_that_sending_needs() {
    let provider = Provider::start();
    let relay = relay_for([2]);
    let sandbox = world(&relay, &provider);
    let (started, address) = begin_login(&sandbox, &["login"]);
    let answer = provider.allow(&address);
    // Others can reach the port, too.
    let home = answer.split_once('?').unwrap().0;
    assert!(browse(&format!("{home}favicon.ico")).starts_with("HTTP/1.1 404"));
    assert!(browse(&format!("{home}?code=x&state=y")).starts_with("HTTP/1.1 400"));
    assert!(browse(&answer).ends_with("You can close this window.\n"));
    let _ = started.finish().exits(0);
    let said = shown(&sandbox);
    assert!(said.contains("logged in; the tokens are in ") && said.contains("\naccepted by localhost["), "{said}");
    shows_no_secret(&said.replace(&address, ""));
    let tokens = sandbox.spool().join("tokens/test");
    assert_eq!(fs::metadata(&tokens).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    let logins = relay.record().logins;
    assert!(logins.iter().all(|login| login.mechanism == "XOAUTH2" && login.accepted), "{logins:?}");
    assert_eq!(provider.asked(), ["authorization_code"]);
}

#[test]
fn where_the_browser_is_elsewhere_its_last_address_is_pasted() {
    let provider = Provider::start();
    let relay = relay_for([2]);
    let sandbox = world(&relay, &provider);
    fs::create_dir_all(sandbox.path("home/.config/mailchute")).unwrap();
    let config = fs::read_to_string(sandbox.config()).unwrap().replace("\"ca.pem\"", "\"~/../ca.pem\"");
    sandbox.write_private("home/.config/mailchute/config.toml", &config);
    let terminal = setup::Terminal::start(&sandbox, &["login"]).wait_for("paste that page's address here.\r\n");
    let address = terminal.shown.lines().find(|line| line.contains("/authorize?")).unwrap().to_owned();
    let answer = provider.allow(&address);
    let other = answer.replace("&state=", "&state=x");
    let (status, shown) = terminal.answer("", &other).answer("that is not it: the address begins with", &answer).end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("\naccepted by localhost["), "{shown}");
}

#[test]
fn a_login_by_a_code_for_another_device_is_waited_for() {
    let provider = Provider::start();
    provider.pending(1);
    let relay = relay_for([1]);
    let sandbox = world(&relay, &provider);
    let said = sandbox.mailchute(["login", "--device"]).prints();
    assert!(said.contains("type the code ABCD-EFGH\n\nhttps://provider.example/device\n"), "{said}");
    shows_no_secret(&said);
    sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!(relay.messages().len(), 1);
}

#[test]
fn a_permission_that_is_not_given_changes_nothing() {
    let provider = Provider::start();
    let relay = relay_for([]);
    let sandbox = world(&relay, &provider);
    let (started, address) = begin_login(&sandbox, &["login"]);
    let answer = provider.allow(&address);
    let (home, query) = answer.split_once('?').unwrap();
    let state = query.split_once("&state=").unwrap().1;
    assert!(browse(&format!("{home}?error=access_denied&state={state}")).starts_with("HTTP/1.1 200"));
    let _ = started.finish().exits(77);
    assert!(shown(&sandbox).contains("mailchute: not allowed: 127.0.0.1:"), "{}", shown(&sandbox));
    assert!(!sandbox.spool().join("tokens").exists());
}

#[test]
fn without_a_login_the_mail_stays_and_the_way_is_told() {
    let provider = Provider::start();
    let relay = relay_for([2]);
    let sandbox = world(&relay, &provider);
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(warning.contains("nobody has logged in yet"), "{warning}");
    assert!(warning.contains("hint: log in: mailchute login --account test"), "{warning}");
    assert_eq!((sandbox.entry()["state"].as_str(), relay.connections()), (Some("held"), 0));
    let (started, address) = begin_login(&sandbox, &["login"]);
    browse(&provider.allow(&address));
    let _ = started.finish().exits(0);
    relay.wait_for_messages(1);
}

#[test]
fn a_token_that_has_ended_is_renewed_and_the_new_refresh_token_kept() {
    let provider = Provider::start();
    let relay = relay_for([1, 2]);
    let sandbox = world(&relay, &provider);
    for left in [30, -5] {
        provider.plant(&sandbox, 4000, left);
        sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    }
    assert_eq!(provider.asked(), ["refresh_token", "refresh_token"]);
    let kept = fs::read_to_string(sandbox.spool().join("tokens/test")).unwrap();
    assert!(kept.contains("CANARY-refresh-2-") && kept.contains("CANARY-access-2-"), "{kept}");
    assert_eq!(relay.messages().len(), 2);
}

#[test]
fn many_senders_at_once_renew_a_token_once() {
    let provider = Provider::start();
    let relay = relay_for([1]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| sandbox.sendmail(["-t"]).input(MESSAGE).silent());
        }
    });
    assert_eq!(provider.asked(), ["refresh_token"]);
    assert_eq!(relay.messages().len(), 8);
}

#[test]
fn a_login_that_has_ended_holds_the_account_until_there_is_a_new_one() {
    let provider = Provider::start();
    let relay = relay_for([2]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    provider.revoke();
    for _ in 0..2 {
        let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
        let wanted = "said invalid_grant (Token has been expired or revoked.)";
        assert!(warning.contains("the login has ended: 127.0.0.1:") && warning.contains(wanted), "{warning}");
        shows_no_secret(&warning);
    }
    sandbox.sendmail(["-q"]).finish().exits(0);
    // A dead login is not tried again and again.
    assert_eq!((provider.asked(), sandbox.list().len()), (vec!["refresh_token".to_owned()], 2));
    let (started, address) = begin_login(&sandbox, &["login"]);
    browse(&provider.allow(&address));
    let _ = started.finish().exits(0);
    sandbox.sendmail(["-q"]).finish().exits(0);
    relay.wait_for_messages(2);
}

#[test]
fn a_token_server_that_is_not_well_is_waited_for() {
    let provider = Provider::start();
    let relay = relay_for([1]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    for (status, body) in
        [(503, "{}"), (200, "<html>log in to this network</html>"), (400, "{\"error\":\"server_error\"}")]
    {
        provider.instead(status, body);
        sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    }
    assert_eq!((sandbox.queue().len(), relay.connections()), (3, 0));
    provider.mend();
    sandbox.sendmail(["-q"]).silent();
    assert_eq!(relay.messages().len(), 3);
}

#[test]
fn without_a_network_a_token_is_not_renewed_and_nothing_is_said() {
    let provider = Provider::start();
    let relay = relay_for([]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_, port) = provider.base().rsplit_once(':').unwrap();
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    let tokens = sandbox.spool().join("tokens/test");
    let moved = fs::read_to_string(&tokens).unwrap().replace(port, &nobody.to_string());
    sandbox.write_private("spool/tokens/test", &moved);
    let line = provider.line().replace(port, &nobody.to_string());
    let sandbox = sandbox.replace(&provider.line(), &line);
    sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!(sandbox.entry()["state"], "queued");
    let reason = sandbox.entry()["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason, format!("account test: token: 127.0.0.1:{nobody}: connection refused"));
}

#[test]
fn a_refused_client_is_a_persons_business() {
    let provider = Provider::start();
    let relay = relay_for([]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    provider.instead(
        401,
        &format!("{{\"error\":\"invalid_client\",\"error_description\":\"no {}\"}}", provider::CLIENT_SECRET),
    );
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(
        warning.contains("refused: words that repeat a secret") && warning.contains("hint: look at client-id"),
        "{warning}"
    );
    shows_no_secret(&warning);
    assert_eq!(sandbox.entry()["state"], "held");
}

#[test]
fn a_token_that_a_relay_takes_no_more_is_renewed_once() {
    let provider = Provider::start();
    let relay = relay_for([1]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 600, 3000);
    sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!((provider.asked().len(), relay.messages().len()), (1, 1));
    let strict = relay_for([99]);
    let sandbox = world(&strict, &provider);
    provider.plant(&sandbox, 600, 3000);
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(warning.contains("535 5.7.8"), "{warning}");
    shows_no_secret(&warning);
    assert_eq!((strict.record().logins.len(), sandbox.entry()["state"].as_str()), (2, Some("held")));
    // Just renewed, it is not that it has ended.
    sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!((strict.record().logins.len(), provider.asked().len()), (3, 2));
}

#[test]
fn tokens_are_said_to_nobody_but_whom_they_were_given_by() {
    let (provider, other) = (Provider::start(), Provider::start());
    let relay = relay_for([0]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    let sandbox = sandbox.replace(&provider.line(), &other.line());
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(warning.contains("the login was made for another token-url"), "{warning}");
    let sandbox = sandbox.replace(&other.line(), &provider.line().replace(CLIENT, "client-2"));
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(warning.contains("the login was made for another client-id"), "{warning}");
    assert!(provider.asked().is_empty() && other.asked().is_empty() && relay.connections() == 0);
}

#[test]
fn a_token_server_must_be_who_it_says() {
    let provider = Provider::over_tls();
    let relay = relay_for([1]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 4000, -5);
    let warning = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(warning.contains("the certificate's issuer is not trusted here"), "{warning}");
    assert_eq!((provider.asked().len(), sandbox.queue().len()), (0, 1));
    sandbox.sendmail(["-q"]).env("SSL_CERT_FILE", sandbox.path("ca.pem")).silent();
    assert_eq!((provider.asked().len(), relay.messages().len()), (1, 1));
}

#[test]
fn the_doctor_says_how_the_tokens_stand() {
    let provider = Provider::start();
    let relay = relay_for([0, 1]);
    let sandbox = world(&relay, &provider);
    let doctor = || sandbox.mailchute(["doctor"]).finish().stdout;
    assert!(
        doctor()
            .contains("✗ login: token: nobody has logged in yet\n    fix: log in: mailchute login --account test\n"),
        "{}",
        doctor()
    );
    provider.plant(&sandbox, 600, 3000);
    assert!(doctor().contains("✓ login: token: good until "), "{}", doctor());
    provider.plant(&sandbox, 4000, -5);
    let said = doctor();
    assert!(said.contains("✓ login: token: has ended, and is renewed with the next login\n"), "{said}");
    assert!(said.contains(&format!("✓ login: {USER}: accepted by localhost[")), "{said}");
    shows_no_secret(&said);
}

#[test]
fn the_doctor_of_root_does_not_judge_the_tokens_of_the_spooler() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let provider = Provider::start();
    let relay = relay_for([0]);
    let sandbox = world(&relay, &provider);
    provider.plant(&sandbox, 600, 3000);
    std::os::unix::fs::chown(sandbox.spool(), Some(12_345), None).unwrap();
    let said = sandbox.mailchute(["doctor"]).prints();
    assert!(said.contains("login: token: not looked at, and no login tried\n"), "{said}");
    assert!(said.contains("runuser -u mailchute -- mailchute doctor\n") && !said.contains("✗"), "{said}");
}

#[test]
fn there_must_be_something_to_log_in_to() {
    let relay = Relay::start(Script::starttls().login(USER, PASSWORD));
    let said = Sandbox::for_relay(&relay).mailchute(["login"]).fails(78);
    assert!(
        said.contains(
            "account test needs no login here, for its password has its place: password in the configuration file"
        ),
        "{said}"
    );
}

#[test]
fn a_keyring_that_is_not_there_holds_the_account() {
    let relay = Relay::start(Script::starttls().login(USER, PASSWORD));
    let sandbox = Sandbox::for_relay(&relay).replace(&format!("password = \"{PASSWORD}\""), "keyring = true");
    let nowhere = "unixexec:path=/bin/touch,argv1=started";
    let run = sandbox.sendmail(["-t"]).within(sandbox.root()).env("DBUS_SESSION_BUS_ADDRESS", nowhere);
    let warning = run.input(MESSAGE).warns();
    assert!(warning.contains(": password: keyring: "), "{warning}");
    assert!(warning.contains("hint: ") && !sandbox.path("started").exists(), "{warning}");
    assert_eq!(sandbox.entry()["state"], "held");
}

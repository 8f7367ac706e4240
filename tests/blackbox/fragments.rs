//! A configuration in several files.

use crate::support::sandbox::account_for;
use crate::support::*;
use std::fs;

const TO_ROOT: [&str; 2] = ["-i", "root"];

/// A world whose user has a main file and fragments, as `(name, text)`.
fn world(main: &str, fragments: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::empty();
    fs::create_dir_all(sandbox.path("home/.config/mailchute/config.d")).unwrap();
    sandbox.write_private("home/.config/mailchute/config.toml", main);
    for (name, text) in fragments {
        sandbox.write_private(&format!("home/.config/mailchute/config.d/{name}"), text);
    }
    sandbox
}

#[test]
fn an_account_and_an_alias_come_from_different_files() {
    let relay = Relay::start(Script::plain());
    let account = format!("[accounts.site]\n{}", account_for(&relay));
    let sandbox = world(
        "[aliases]\nroot = \"nobody@example.org\"\n",
        &[("50-site.toml", &account), ("90-host.toml", "[aliases]\nroot = \"admin@example.org\"\n")],
    );
    sandbox.sendmail(TO_ROOT).env("MAILCHUTE_CONFIG", "").input(MESSAGE).silent();
    assert_eq!(relay.message().to(), ["admin@example.org"]);
    let report = sandbox.mailchute(["doctor"]).env("MAILCHUTE_CONFIG", "").finish().stdout;
    assert!(report.contains("/config.d/50-site.toml:2)"), "{report}");
}

#[test]
fn a_fault_in_a_fragment_names_it_and_the_message_is_kept() {
    let sandbox = world("", &[("50-site.toml", "\n[acounts.a]\n")]);
    let said = sandbox.sendmail(TO_ROOT).env("MAILCHUTE_CONFIG", "").input(MESSAGE).fails(78);
    assert!(said.contains("/config.d/50-site.toml:2: unknown key \"acounts\""), "{said}");
}

#[test]
fn a_file_that_is_named_stands_alone() {
    let relay = Relay::start(Script::plain());
    let account = format!("[accounts.site]\n{}", account_for(&relay));
    let sandbox = world("", &[("50-site.toml", &account)]);
    let main = sandbox.path("home/.config/mailchute/config.toml");
    let said = sandbox.sendmail(TO_ROOT).env("MAILCHUTE_CONFIG", main).input(MESSAGE).fails(78);
    assert!(said.contains("no account is configured"), "{said}");
    assert_eq!(relay.connections(), 0);
}

//! Local names: the bare ones and those at this host. They have no mailbox here, so each goes to whoever an alias
//! names, else to the relay or to the account's own address, as the configuration says. A bare name never gets a
//! public domain: `pi` must not become somebody's `pi@gmail.com`.

use super::RouteError;
use crate::config::{Account, Config, LocalRecipients};
use crate::mail::address::{Addressee, Mailbox};
use crate::mail::envelope::Recipient;
use std::collections::{BTreeMap, HashSet};

/// The name that stands for every other one.
const ANY: &str = "*";

/// What this host knows of local names: its own host names, `[aliases]`, and `/etc/aliases` already read.
#[derive(Clone, Copy)]
pub struct Locals<'a> {
    pub config: &'a Config,
    /// Names of this host in lower case: `web1.example.org`, `web1`, `localhost`.
    pub hosts: &'a [String],
    /// `/etc/aliases`, names in lower case.
    pub system_aliases: &'a BTreeMap<String, Vec<Addressee>>,
}

/// Expands addressees into recipients: aliases, loops broken, duplicates dropped by `Envelope`. The name as it was
/// is the recipient's `original`.
pub fn recipients(locals: &Locals, account: &Account, to: &[Addressee]) -> Result<Vec<Recipient>, RouteError> {
    let mut recipients = Vec::new();
    for addressee in to {
        match local_name(locals.hosts, addressee) {
            Name::Foreign(mailbox) => recipients.push(Recipient::new(mailbox.clone())),
            Name::Local(name) => {
                let mailboxes = Expansion { locals, account, seen: HashSet::new() }.mailboxes(addressee, &name)?;
                let original = Some(format!("rfc822;{}", complete(locals, addressee)));
                let named = mailboxes
                    .into_iter()
                    .map(|mailbox| Recipient { original: original.clone(), ..Recipient::new(mailbox) });
                recipients.extend(named);
            }
        }
    }
    Ok(recipients)
}

/// Whether a domain is this host, which every host calls localhost.
pub(super) fn is_here(hosts: &[String], domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_lowercase();
    domain == "localhost" || domain == "localhost.localdomain" || hosts.contains(&domain)
}

enum Name<'a> {
    Foreign(&'a Mailbox),
    /// In lower case, without quotes.
    Local(String),
}

fn local_name<'a>(hosts: &[String], addressee: &'a Addressee) -> Name<'a> {
    let name = match addressee {
        Addressee::Mailbox(mailbox) if is_here(hosts, mailbox.domain()) => mailbox.local(),
        Addressee::Mailbox(mailbox) => return Name::Foreign(mailbox),
        Addressee::Local(name) => name,
    };
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = quoted.map_or_else(|| name.to_string(), |name| name.replace("\\\"", "\"").replace("\\\\", "\\"));
    Name::Local(name.to_lowercase())
}

/// The addressee with a domain that is this host's.
fn complete(locals: &Locals, addressee: &Addressee) -> String {
    match addressee {
        Addressee::Mailbox(mailbox) => mailbox.to_string(),
        Addressee::Local(name) => format!("{name}@{}", locals.config.domain),
    }
}

/// One local name on its way through the aliases.
struct Expansion<'a> {
    locals: &'a Locals<'a>,
    account: &'a Account,
    /// Names that were looked up: each once, so that a loop ends and a dense net of aliases cannot explode.
    seen: HashSet<String>,
}

impl Expansion<'_> {
    /// Whoever the name stands for; when all its aliases lead nowhere, whoever gets the rest.
    fn mailboxes(mut self, addressee: &Addressee, name: &str) -> Result<Vec<Mailbox>, RouteError> {
        let mut found = Vec::new();
        self.follow(name, &mut found);
        if found.is_empty() {
            self.follow(ANY, &mut found);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let way = match self.account.store {
            // Whoever it is, his mail is kept here.
            Some(_) => LocalRecipients::Relay,
            None => self.locals.config.local_recipients,
        };
        match (way, &self.account.from) {
            (LocalRecipients::Relay, _) => Mailbox::parse(&complete(self.locals, addressee))
                .map(|mailbox| vec![mailbox])
                .map_err(RouteError::Address),
            (LocalRecipients::Alias, Some(from)) => Ok(vec![from.clone()]),
            (LocalRecipients::Alias, None) => Err(RouteError::NotDeliverable(name.to_string())),
        }
    }

    /// Collects the mailboxes behind a name, depth first. A name behind it that leads nowhere adds nothing.
    fn follow(&mut self, name: &str, found: &mut Vec<Mailbox>) {
        let mut waiting = vec![name.to_string()];
        while let Some(name) = waiting.pop() {
            if !self.seen.insert(name.clone()) {
                continue;
            }
            let own = self.locals.config.aliases.get(&name);
            let Some(addressees) = own.or_else(|| self.locals.system_aliases.get(&name)) else { continue };
            for addressee in addressees {
                match local_name(self.locals.hosts, addressee) {
                    Name::Foreign(mailbox) => found.push(mailbox.clone()),
                    Name::Local(name) => waiting.push(name),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::config::{RewriteFrom, aliases};
    use crate::mail::address::parse_list;

    const SYSTEM: &str = "postmaster: root\nroot: admin@x.org\nloop: pool\npool: loop\nself: \\self, me@x.org\n\
                          alone: \\alone\nfile: /var/mail/file\nboth: root, loop, other@x.org\n\"web master\": w@x.org\n";

    /// Who gets mail for `to`, with `[aliases]` as written.
    fn expanded(own: &str, way: LocalRecipients, from: Option<&str>, to: &str) -> Result<Vec<String>, RouteError> {
        let account = samples::account("a", from, &[], RewriteFrom::Foreign);
        let mut config = samples::config(Vec::new());
        config.aliases = aliases::parse(own).names;
        config.local_recipients = way;
        let hosts = ["web1.example.org".to_string(), "web1".to_string()];
        let locals = Locals { config: &config, hosts: &hosts, system_aliases: &aliases::parse(SYSTEM).names };
        let found = recipients(&locals, &account, &parse_list(to.as_bytes()).unwrap())?;
        let shown = |recipient: Recipient| match recipient.original {
            Some(original) => format!("{} ({original})", recipient.mailbox),
            None => recipient.mailbox.to_string(),
        };
        Ok(found.into_iter().map(shown).collect())
    }

    #[test]
    fn a_local_name_goes_to_whoever_an_alias_names_else_to_the_accounts_own_address() {
        let me = Some("me@gmail.com");
        for (own, to, wanted) in [
            ("", "b@y.org, C@Y.org", vec!["b@y.org", "C@Y.org"]),
            ("", "root", vec!["admin@x.org (rfc822;root@web1.example.org)"]),
            ("", "postmaster@localhost", vec!["admin@x.org (rfc822;postmaster@localhost)"]),
            ("", "Root@WEB1", vec!["admin@x.org (rfc822;Root@WEB1)"]),
            ("root: own@x.org", "root@web1.example.org.", vec!["own@x.org (rfc822;root@web1.example.org)"]),
            ("", "pi", vec!["me@gmail.com (rfc822;pi@web1.example.org)"]),
            ("*: all@x.org", "pi", vec!["all@x.org (rfc822;pi@web1.example.org)"]),
            ("*: root", "pi", vec!["admin@x.org (rfc822;pi@web1.example.org)"]),
            ("*: root", "root", vec!["admin@x.org (rfc822;root@web1.example.org)"]),
            ("", "loop", vec!["me@gmail.com (rfc822;loop@web1.example.org)"]),
            ("", "self", vec!["me@x.org (rfc822;self@web1.example.org)"]),
            ("", "alone", vec!["me@gmail.com (rfc822;alone@web1.example.org)"]),
            ("*: alone", "alone", vec!["me@gmail.com (rfc822;alone@web1.example.org)"]),
            ("", "file", vec!["me@gmail.com (rfc822;file@web1.example.org)"]),
            ("", "\"web master\"", vec!["w@x.org (rfc822;\"web master\"@web1.example.org)"]),
            (
                "",
                "both, b@y.org",
                vec![
                    "other@x.org (rfc822;both@web1.example.org)",
                    "admin@x.org (rfc822;both@web1.example.org)",
                    "b@y.org",
                ],
            ),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(String::from).collect();
            assert_eq!(expanded(own, LocalRecipients::Alias, me, to), Ok(wanted), "{own:?} {to}");
        }
    }

    #[test]
    fn the_relay_gets_what_no_alias_names_when_the_configuration_says_so() {
        for (own, to, wanted) in [
            ("", "pi", "pi@web1.example.org (rfc822;pi@web1.example.org)"),
            ("", "pi@web1", "pi@web1 (rfc822;pi@web1)"),
            ("", "root", "admin@x.org (rfc822;root@web1.example.org)"),
            ("*: all@x.org", "pi", "all@x.org (rfc822;pi@web1.example.org)"),
        ] {
            let found = expanded(own, LocalRecipients::Relay, Some("me@gmail.com"), to);
            assert_eq!(found, Ok(vec![wanted.to_string()]), "{own:?} {to}");
        }
    }

    #[test]
    fn a_name_that_stands_for_nobody_is_an_error_and_never_a_guess() {
        let found = expanded("", LocalRecipients::Alias, None, "pi");
        assert_eq!(found, Err(RouteError::NotDeliverable("pi".into())));
    }
}

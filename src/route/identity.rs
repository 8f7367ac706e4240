//! As whom a message leaves. Relays that host mailboxes take only their own addresses: cron's `root@web1`, PHP's
//! `www-data@web1` and an author that git puts in From are replaced by the account's, and kept where people see them.

use super::RouteError;
use super::locals::is_here;
use crate::config::{Account, Config, RewriteFrom};
use crate::mail::address::{Addressee, Mailbox, parse_list};
use crate::mail::envelope::{Envelope, ReversePath};
use crate::mail::header::{Field, Header, display_name};

/// Where the old From goes (RFC 5703 section 5.4).
const ORIGINAL_FROM: &str = "Original-From";

/// Who runs us, as far as the system knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    Name(&'a str),
    /// A user id without a passwd entry, as containers have them.
    Unknown(u32),
}

/// Applies the account's identity rule to envelope sender and From field (`rewrite-from`), keeping the old field as
/// Original-From (RFC 5703). The null reverse-path stays what it is. Doing it twice changes nothing more.
pub fn identify(
    config: &Config,
    account: &Account,
    hosts: &[String],
    envelope: Envelope,
    mut header: Header,
) -> (Envelope, Header) {
    let Some(from) = &account.from else { return (envelope, header) };
    let rule = Rule { config, account, from, hosts };
    let envelope = match envelope.reverse_path() {
        ReversePath::Mailbox(sender) if rule.replaces(sender) => {
            envelope.with_reverse_path(ReversePath::Mailbox(from.clone()))
        }
        ReversePath::Mailbox(_) | ReversePath::Null => envelope,
    };
    if let Some(old) = header.first("From").filter(|field| rule.replaces_field(field)).cloned() {
        let value = String::from_utf8_lossy(&old.value()).into_owned();
        if header.first(ORIGINAL_FROM).is_none() && !value.is_empty() {
            header.push(Field::new(ORIGINAL_FROM, &value));
        }
        header.replace(Field::new("From", &display_name(&shown_name(&value, hosts), &from.to_string())));
    }
    (envelope, header)
}

/// The reverse-path for what `-f` asked: the null one, an address, a bare name qualified (or replaced at once, where
/// the account's rule replaces bare names); when nothing was asked, the account's `from`, else the login name here.
pub fn reverse_path(
    account: &Account,
    asked: Option<Option<Addressee>>,
    login: Login,
    domain: &str,
) -> Result<ReversePath, RouteError> {
    let qualified = |name: &str| Mailbox::parse(&format!("{name}@{domain}")).map_err(RouteError::Address);
    let mailbox = match (asked, &account.from) {
        (Some(None), _) => return Ok(ReversePath::Null),
        (Some(Some(Addressee::Mailbox(mailbox))), _) => mailbox,
        (Some(Some(Addressee::Local(_))), Some(from)) if account.rewrite_from != RewriteFrom::Never => from.clone(),
        (Some(Some(Addressee::Local(name))), _) => qualified(&name)?,
        (None, Some(from)) => from.clone(),
        (None, None) => match login {
            Login::Name(name) => qualified(name)?,
            Login::Unknown(uid) => return Err(RouteError::NoIdentity(uid)),
        },
    };
    Ok(ReversePath::Mailbox(mailbox))
}

/// The sender of a caller who may only be himself: what he asked if that is his own name here, else his name.
pub fn unforged_sender(asked: Option<Option<Addressee>>, login: &str, hosts: &[String]) -> Option<Option<Addressee>> {
    asked.map(|sender| {
        sender
            .map(|addressee| if is_own(&addressee, login, hosts) { addressee } else { Addressee::Local(login.into()) })
    })
}

/// The header of a caller who may only be himself: a From field of others becomes his, the display name is kept, and
/// the old field stays as Original-From.
pub fn unforged_from(mut header: Header, login: &str, hosts: &[String]) -> Header {
    let Some(old) = header.first("From").cloned() else { return header };
    let writers = parse_list(&old.value()).unwrap_or_default();
    if !writers.is_empty() && writers.iter().all(|writer| is_own(writer, login, hosts)) {
        return header;
    }
    let value = String::from_utf8_lossy(&old.value()).into_owned();
    if header.first(ORIGINAL_FROM).is_none() && !value.is_empty() {
        header.push(Field::new(ORIGINAL_FROM, &value));
    }
    header.replace(Field::new("From", &display_name(&shown_name(&value, hosts), login)));
    header
}

fn is_own(addressee: &Addressee, login: &str, hosts: &[String]) -> bool {
    match addressee {
        Addressee::Local(name) => name == login,
        Addressee::Mailbox(mailbox) => {
            mailbox.local() == login && hosts.iter().any(|host| host.eq_ignore_ascii_case(mailbox.domain()))
        }
    }
}

/// One account's `rewrite-from` on this host.
struct Rule<'a> {
    config: &'a Config,
    account: &'a Account,
    from: &'a Mailbox,
    hosts: &'a [String],
}

impl Rule<'_> {
    fn replaces(&self, sender: &Mailbox) -> bool {
        let is_ours = sender.to_string().eq_ignore_ascii_case(&self.from.to_string());
        match self.account.rewrite_from {
            _ if is_ours => false,
            RewriteFrom::Never => false,
            RewriteFrom::Always => true,
            RewriteFrom::Local => !self.account.may_send_as(sender) && self.is_local(sender),
            RewriteFrom::Foreign => {
                !self.account.may_send_as(sender) && (self.is_local(sender) || !self.is_of_some_account(sender))
            }
        }
    }

    /// A field without an address that can be read, or with a bare name, is as good as one of this host.
    fn replaces_field(&self, field: &Field) -> bool {
        let writers = parse_list(&field.value()).unwrap_or_default();
        let replaced = |writer: &Addressee| match writer {
            Addressee::Mailbox(mailbox) => self.replaces(mailbox),
            Addressee::Local(_) => self.account.rewrite_from != RewriteFrom::Never,
        };
        match &writers[..] {
            [] => self.account.rewrite_from != RewriteFrom::Never,
            writers => writers.iter().any(replaced),
        }
    }

    /// This host's names, and the domain that completes bare ones, unless that one is where an account lives.
    fn is_local(&self, sender: &Mailbox) -> bool {
        let domain = sender.domain();
        let completes = domain.eq_ignore_ascii_case(&self.config.domain) && !self.is_of_some_account(sender);
        completes || is_here(self.hosts, domain)
    }

    fn is_of_some_account(&self, sender: &Mailbox) -> bool {
        let domain = sender.domain().to_lowercase();
        self.config.accounts.iter().flat_map(Account::domains).any(|known| known == domain)
    }
}

/// The name to show for an old From: its display name, else its address, else its text.
fn shown_name(value: &str, hosts: &[String]) -> String {
    let name = written_name(value);
    if !name.is_empty() {
        return Field::new("Name", &name).text();
    }
    match (parse_list(value.as_bytes()).ok().and_then(|list| list.into_iter().next()), hosts.first()) {
        (Some(Addressee::Local(name)), Some(host)) => format!("{name}@{host}"),
        (Some(addressee), _) => addressee.to_string(),
        (None, _) => value.trim_matches(['<', '>', ' ']).to_string(),
    }
}

/// The display name of the first address as written, quotes and comments taken off, not decoded: what stands before
/// the `<`, else the comment (`root@web1 (Cron Daemon)`); empty when there is none.
fn written_name(value: &str) -> String {
    let (mut before, mut comment) = (String::new(), String::new());
    let (mut quoted, mut depth) = (false, 0);
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        match c {
            '"' if depth == 0 => quoted = !quoted,
            '<' if depth == 0 && !quoted && !before.trim().is_empty() => return before.trim().to_string(),
            ',' if depth == 0 && !quoted => break,
            '(' if !quoted => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ => {
                let into = if depth > 0 { &mut comment } else { &mut before };
                into.extend(if c == '\\' { letters.next() } else { Some(c) });
            }
        }
    }
    comment.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::mail::envelope::Recipient;

    const RULES: [RewriteFrom; 4] = [RewriteFrom::Never, RewriteFrom::Local, RewriteFrom::Foreign, RewriteFrom::Always];

    fn identified(rewrite: RewriteFrom, sender: &str, header: &str) -> (String, String) {
        let account = samples::account("a", Some("me@gmail.com"), &["me@work.example", "*@lists.example"], rewrite);
        let other = samples::account("b", Some("b@other.example"), &[], rewrite);
        let config = samples::config(vec![account.clone(), other]);
        let hosts = ["web1.example.org".to_string(), "web1".to_string()];
        let reverse_path = match sender {
            "" => ReversePath::Null,
            sender => ReversePath::Mailbox(Mailbox::parse(sender).unwrap()),
        };
        let to = vec![Recipient::new(Mailbox::parse("to@x.org").unwrap())];
        let envelope = Envelope::new(reverse_path, to).unwrap();
        let (envelope, header) = identify(&config, &account, &hosts, envelope, samples::header(header));
        let (envelope, header) = identify(&config, &account, &hosts, envelope, header);
        (envelope.reverse_path().to_string(), String::from_utf8(header.to_bytes()).unwrap().replace("\r\n", "\n"))
    }

    #[test]
    fn each_rule_replaces_its_kinds_of_sender() {
        let me = "me@gmail.com";
        for (sender, kept_by) in [
            // Never, Local, Foreign, Always.
            ("root@web1", [true, false, false, false]),
            ("www-data@web1.example.org", [true, false, false, false]),
            ("root@localhost", [true, false, false, false]),
            ("author@kernel.example", [true, true, false, false]),
            ("you@gmail.com", [true, true, true, false]),
            ("b@other.example", [true, true, true, false]),
            ("me@work.example", [true, true, true, false]),
            ("any@lists.example", [true, true, true, false]),
            ("Me@GMail.com", [true, true, true, true]),
            ("", [true, true, true, true]),
        ] {
            for (rewrite, kept) in RULES.into_iter().zip(kept_by) {
                let (found, _) = identified(rewrite, sender, "");
                assert_eq!(found, if kept { sender } else { me }, "{rewrite:?} {sender}");
            }
        }
    }

    #[test]
    fn who_may_only_be_himself_is_himself() {
        let hosts = ["web1.example.org".to_string(), "web1".to_string()];
        for (asked, kept) in
            [("joe", true), ("joe@web1", true), ("joe@WEB1.example.org", true), ("root", false), ("joe@x.org", false)]
        {
            let asked = crate::mail::address::parse_sender(asked.as_bytes()).unwrap();
            let found = unforged_sender(Some(asked.clone()), "joe", &hosts);
            let own = Some(Addressee::Local("joe".into()));
            assert_eq!(found, Some(if kept { asked } else { own }));
        }
        assert_eq!(unforged_sender(Some(None), "joe", &hosts), Some(None), "a bounce is nobody's");
        for (from, shown) in [
            ("Joe <joe@web1>", "From: Joe <joe@web1>\r\n"),
            ("Boss <ceo@x.org>", "From: Boss <joe>\r\nOriginal-From: Boss <ceo@x.org>\r\n"),
            ("joe, ceo@x.org", "From: \"joe@web1.example.org\" <joe>\r\nOriginal-From: joe, ceo@x.org\r\n"),
        ] {
            let header = unforged_from(samples::header(&format!("From: {from}\n")), "joe", &hosts);
            assert_eq!(String::from_utf8(header.to_bytes()).unwrap(), shown);
        }
    }

    #[test]
    fn a_replaced_from_keeps_its_name_or_shows_its_old_address() {
        for (old, new) in [
            ("root (Cron Daemon)", "Cron Daemon"),
            ("\"Cron, Daemon\" <root@web1>", "\"Cron, Daemon\""),
            ("root@web1", "\"root@web1\""),
            ("<root@web1>", "\"root@web1\""),
            ("root", "\"root@web1.example.org\""),
            ("www-data@web1.example.org (a (b) c)", "a b c"),
            ("=?UTF-8?Q?J=C3=B6rg?= <author@kernel.example>", "=?UTF-8?Q?J=C3=B6rg?="),
            ("\"A \\\"B\\\"\" <root@web1>", "\"A \\\"B\\\"\""),
            ("me@gmail.com, Root <root@web1>", "\"me@gmail.com\""),
            ("some <thing", "some"),
            ("@@", "\"@@\""),
        ] {
            let (_, header) = identified(RewriteFrom::Foreign, "", &format!("To: x@y\nFrom: {old}\nSubject: s\n"));
            let wanted = format!("To: x@y\nFrom: {new} <me@gmail.com>\nSubject: s\nOriginal-From: {old}\n");
            assert_eq!(header, wanted);
        }
    }

    #[test]
    fn an_empty_from_becomes_the_accounts_and_a_missing_one_stays_missing() {
        assert_eq!(identified(RewriteFrom::Local, "", "From:\n").1, "From: me@gmail.com\n");
        assert_eq!(identified(RewriteFrom::Local, "", "To: x@y\n").1, "To: x@y\n");
    }

    #[test]
    fn a_from_that_may_stay_stays_byte_for_byte() {
        let header = "FROM:  Me  <me@work.example> (x)\nTo: a\n";
        assert_eq!(identified(RewriteFrom::Foreign, "", header).1, header);
        let header = "From: root (Cron Daemon)\n";
        assert_eq!(identified(RewriteFrom::Never, "", header).1, header);
    }

    #[test]
    fn the_reverse_path_is_what_was_asked_else_the_accounts() {
        let address = |text: &str| Addressee::Mailbox(Mailbox::parse(text).unwrap());
        let name = || Addressee::Local("joe".into());
        let joe = Login::Name("joe");
        let (me, nobody) = (Some("me@gmail.com"), None);
        for (from, rewrite, asked, login, wanted) in [
            (me, RewriteFrom::Foreign, Some(None), joe, Ok("")),
            (me, RewriteFrom::Foreign, Some(Some(address("a@b.org"))), joe, Ok("a@b.org")),
            (me, RewriteFrom::Foreign, Some(Some(name())), joe, Ok("me@gmail.com")),
            (me, RewriteFrom::Never, Some(Some(name())), joe, Ok("joe@web1.example.org")),
            (me, RewriteFrom::Never, None, joe, Ok("me@gmail.com")),
            (nobody, RewriteFrom::Local, Some(Some(name())), joe, Ok("joe@web1.example.org")),
            (nobody, RewriteFrom::Local, None, joe, Ok("joe@web1.example.org")),
            (nobody, RewriteFrom::Local, None, Login::Unknown(12345), Err(RouteError::NoIdentity(12345))),
            (me, RewriteFrom::Local, None, Login::Unknown(12345), Ok("me@gmail.com")),
        ] {
            let account = samples::account("a", from, &[], rewrite);
            let found = reverse_path(&account, asked, login, "web1.example.org").map(|path| path.to_string());
            assert_eq!(found, wanted.map(String::from));
        }
    }
}

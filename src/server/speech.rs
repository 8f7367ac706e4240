//! A transaction as our own client says it to the spooler: what `transaction.rs` reads, written.

use super::transaction::{Forward, Transaction};
use super::xtext;
use crate::mail::address::Addressee;

impl Transaction {
    /// The MAIL and RCPT commands, with their line ends, in the order in which they are answered.
    pub fn commands(&self) -> Vec<String> {
        let mut mail = format!(
            "MAIL FROM:<{}> SMTPUTF8",
            self.reverse_path.as_ref().map(Addressee::to_string).unwrap_or_default()
        );
        if let Some(ret) = self.ret {
            mail += &format!(" RET={ret}");
        }
        if let Some(envid) = &self.envid {
            mail += &format!(" ENVID={}", xtext::encode(envid));
        }
        if let Some(account) = &self.wishes.account {
            mail += &format!(" XACCOUNT={}", xtext::encode(account));
        }
        if let Some(name) = &self.wishes.full_name {
            mail += &format!(" XNAME={}", xtext::encode(name));
        }
        if self.wishes.unsaid {
            mail += " XUNSAID";
        }
        if self.wishes.keep_bare_names {
            mail += " XKEEP";
        }
        if self.wishes.no_aliases {
            mail += " XLITERAL";
        }
        let recipients = self.recipients.iter().map(Forward::command);
        std::iter::once(format!("{mail}\r\n")).chain(recipients).collect()
    }
}

impl Forward {
    fn command(&self) -> String {
        let notify = self.notify.map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
        format!("RCPT TO:<{}>{notify}\r\n", self.addressee)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wishes;
    use super::*;
    use crate::mail::address::parse_sender;
    use crate::mail::envelope::{Notify, Return};

    #[test]
    fn what_is_said_is_understood() {
        for from in ["", "alice@example.org", "root", "\"a b\"@x.org", "j\u{f6}rg@x.org", "a\\ b", "\"a \\\"b\"", "a|b"]
        {
            let Ok(reverse_path) = parse_sender(from.as_bytes()) else { continue };
            let forward = |text: &str, notify| Forward {
                addressee: parse_sender(text.as_bytes()).unwrap().unwrap(),
                notify,
                original: None,
            };
            let said = Transaction {
                reverse_path,
                recipients: vec![forward("bob@x.org", Some(Notify::NEVER)), forward("www-data", None)],
                ret: Some(Return::Headers),
                envid: Some("a b+=".into()),
                wishes: Wishes {
                    full_name: Some("J\u{f6}rg + Co.".into()),
                    account: Some("my.work".into()),
                    unsaid: true,
                    keep_bare_names: true,
                    no_aliases: true,
                },
            };
            let lines = said.commands();
            let lines: Vec<&str> = lines.iter().map(|line| line.strip_suffix("\r\n").unwrap()).collect();
            let mut heard = Transaction::parse(lines[0].strip_prefix("MAIL ").unwrap(), None).unwrap();
            for line in &lines[1..] {
                heard.recipients.push(Forward::parse(line.strip_prefix("RCPT ").unwrap()).unwrap());
            }
            assert_eq!(heard, said);
        }
    }
}

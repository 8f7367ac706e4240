//! What a refusing reply means for the message and for the account, and what to tell its owner. Pure; the providers'
//! words are data (replies.toml), read only when there is something to explain. What no row knows is judged by RFC
//! 5321 section 4.2 and RFC 3463; in doubt, it is transient.

use crate::mail::outcome::{Enhanced, Reply, Stage};
use serde::Deserialize;
use std::sync::OnceLock;

/// What follows from a reply of 4yz or 5yz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The relay will never take this message for these recipients.
    Message,
    /// A fault of the account: it is held, nothing is rejected.
    Account,
    /// Try again later.
    Transient,
    /// Enough recipients for one transaction; the others go into the next.
    Split,
}

/// A verdict and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub verdict: Verdict,
    pub hint: Option<String>,
}

/// What we know of a login that failed, for the hint; of the password only its shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Login<'a> {
    pub user: &'a str,
    pub host: &'a str,
    /// The password has the shape of one of Google's App Passwords: 16 lower-case letters.
    pub app_password: bool,
}

/// Judges a refusing reply.
pub fn classify(stage: Stage, reply: &Reply) -> Explanation {
    let text = reply.text().to_lowercase();
    match catalogue().reply.iter().find(|row| row.fits(stage, reply, &text)) {
        Some(row) => Explanation { verdict: row.verdict, hint: row.hint.clone() },
        None => Explanation { verdict: by_the_book(stage, reply), hint: None },
    }
}

/// Judges a refused login; the hint begins with what is visibly wrong with it.
pub fn classify_login(reply: &Reply, login: Login) -> Explanation {
    let Explanation { verdict, hint } = classify(Stage::Auth, reply);
    let hints: Vec<String> = login.visible_mistake(reply).into_iter().chain(hint).collect();
    Explanation { verdict, hint: (!hints.is_empty()).then(|| hints.join("; ")) }
}

/// The known server whose name a mistyped one probably means.
pub fn nearest_host(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    if ["gmail", "google"].iter().any(|name| host.contains(name)) && !host.contains("relay") {
        return Some("smtp.gmail.com").filter(|known| *known != host);
    }
    let known = catalogue().hosts.iter().map(|known| (distance(&host, known), known));
    known.filter(|(distance, _)| (1..=2).contains(distance)).min().map(|(_, known)| known.as_str())
}

impl Login<'_> {
    fn visible_mistake(&self, reply: &Reply) -> Option<String> {
        if reply.code != 535 {
            return None;
        }
        let google = self.host.ends_with("gmail.com") || self.host.ends_with("googlemail.com");
        match self.user.rsplit_once('@') {
            None if google => {
                Some(format!("the user name is the full address: set user = \"{}@gmail.com\"", self.user))
            }
            None => Some(format!("the user name {:?} has no domain; most providers want the full address", self.user)),
            Some((local, domain)) if google && domain != "gmail.com" && distance(domain, "gmail.com") <= 2 => {
                Some(format!("the user name is probably {local}@gmail.com"))
            }
            Some(_) if google && !self.app_password => {
                Some("the password is not an App Password, which is 16 lower-case letters".into())
            }
            Some(_) => None,
        }
    }
}

/// The judgement of the standards alone.
fn by_the_book(stage: Stage, reply: &Reply) -> Verdict {
    let says_transient = reply.enhanced().is_some_and(|Enhanced(class, ..)| class == 4);
    match (stage, reply.code) {
        (_, 400..=499) => Verdict::Transient,
        (Stage::Mail | Stage::Rcpt | Stage::Data, 500..=599) => match reply.code {
            // A code that contradicts its enhanced code is doubt; so is a complaint about a command or its place, for
            // that is between the two programs.
            _ if says_transient => Verdict::Transient,
            500 | 502..=504 | 521 => Verdict::Transient,
            _ => Verdict::Message,
        },
        (_, 500..=599) => Verdict::Account,
        _ => Verdict::Transient,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalogue {
    hosts: Vec<String>,
    reply: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[allow(dead_code, reason = "provenance, for the reader of the file")]
    provider: String,
    stage: Option<String>,
    code: Option<u16>,
    enhanced: Option<String>,
    token: Option<String>,
    phrase: Option<String>,
    verdict: Verdict,
    hint: Option<String>,
    #[allow(dead_code, reason = "provenance, for the reader of the file")]
    source: String,
}

impl Row {
    /// `text` is the reply's, in lower case.
    fn fits(&self, stage: Stage, reply: &Reply, text: &str) -> bool {
        let token = |token: &String| text.split("?p=").skip(1).any(|rest| begins_with_word(rest, token));
        self.stage.as_deref().is_none_or(|wanted| wanted == stage_key(stage))
            && self.code.is_none_or(|code| code == reply.code)
            && self.enhanced.as_ref().is_none_or(|code| reply.enhanced().is_some_and(|got| got.to_string() == *code))
            && self.token.as_ref().is_none_or(token)
            && self.phrase.as_ref().is_none_or(|phrase| text.contains(phrase))
    }
}

fn begins_with_word(text: &str, word: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    text[..end].eq_ignore_ascii_case(word)
}

fn stage_key(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve | Stage::Connect | Stage::Held | Stage::Secret | Stage::Token | Stage::Tls | Stage::Folder => "",
        Stage::Greeting => "greeting",
        Stage::Ehlo => "ehlo",
        Stage::StartTls => "starttls",
        Stage::Auth => "auth",
        Stage::Mail => "mail",
        Stage::Rcpt => "rcpt",
        Stage::Data => "data",
    }
}

fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    // The file is part of the program and a test reads it; without it, the standards' judgement is still sound.
    let read = || toml::from_str(include_str!("replies.toml")).unwrap_or(Catalogue { hosts: vec![], reply: vec![] });
    CATALOGUE.get_or_init(read)
}

/// Letters to change, add, drop or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let lines = text.lines().map(|line| line[4..].to_owned()).collect();
        Reply { code: text[..3].parse().unwrap(), lines }
    }

    #[test]
    fn replies_are_judged_as_the_providers_mean_them() {
        use Stage::*;
        use Verdict::*;
        let cases: &[(Stage, &str, Verdict, &str)] = &[
            (
                Auth,
                "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp",
                Account,
                "apppasswords",
            ),
            (
                Auth,
                "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
                Account,
                "2-Step",
            ),
            (
                Auth,
                "534-5.7.9 Please log in with your web browser and then try again. For more\n534-5.7.9 information, go to\n534 5.7.9  https://support.google.com/mail/?p=WebLoginRequired x - gsmtp",
                Account,
                "browser",
            ),
            (
                Auth,
                "534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1\n534 5.7.14  https://support.google.com/mail/answer/78754 x - gsmtp",
                Account,
                "browser",
            ),
            (Auth, "454 4.7.0 Too many login attempts, please try again later. x - gsmtp", Account, "wait"),
            (Auth, "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.", Transient, ""),
            (Auth, "454 4.7.0 something else", Account, ""),
            (Auth, "421 4.3.0 Temporary System Problem. Try again later.", Transient, ""),
            (Auth, "451 4.3.0 later", Transient, ""),
            (Auth, "501 5.5.2 Cannot Decode response", Account, ""),
            (
                Auth,
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
                Account,
                "Set-CASMailbox",
            ),
            (
                Auth,
                "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [x]",
                Account,
                "token-command",
            ),
            (Auth, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Account, "wrong"),
            (Auth, "535 5.7.3 Authentication unsuccessful [x]", Account, "token"),
            (Auth, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", Account, "app password"),
            (Auth, "535 Authentication Credentials Invalid", Account, "region"),
            (Auth, "535 5.7.8 Error: authentication failed:", Account, "wrong"),
            (Auth, "432 4.7.12 A password transition is needed", Account, ""),
            (
                Mail,
                "530-5.7.0 Authentication Required. For more information, go to\n530 5.7.0  https://support.google.com/mail/?p=WantAuthError x - gsmtp",
                Account,
                "user",
            ),
            (Mail, "530 5.7.57 Client not authenticated to send mail", Account, "user"),
            (Mail, "550 5.7.30 Basic authentication is not supported for Client Submission.", Account, "token-command"),
            (Mail, "553 5.1.7 The sender address <root> is not a valid RFC 5321 address.", Message, "rewrite-from"),
            (Mail, "553 Mail from must equal authorized user", Message, "rewrite-from"),
            (Mail, "501 mail from address must be same as authorization user", Message, "rewrite-from"),
            (
                Mail,
                "552-5.3.4 Your message exceeded Google's message size limits. For more information,\n552 5.3.4 go to https://support.google.com/mail/?p=MaxSizeError x - gsmtp",
                Message,
                "25 MB",
            ),
            (Mail, "451 4.3.0 later", Transient, ""),
            (Mail, "503 5.5.1 EHLO/HELO first.", Transient, ""),
            (Rcpt, "553 5.7.1 <b@x>: Sender address rejected: not owned by user a@x", Message, "identities"),
            (Rcpt, "554 5.7.1 <b@x>: Relay access denied", Account, "user"),
            (Rcpt, "550 5.1.1 The email account that you tried to reach does not exist.", Message, ""),
            (Rcpt, "550 4.2.1 contradiction", Transient, ""),
            (
                Rcpt,
                "452-4.5.3 Your message has too many recipients. For more information regarding\n452-4.5.3 Google's sending limits, go to\n452 4.5.3  https://support.google.com/mail/?p=TooManyRecipientsError x - gsmtp",
                Split,
                "",
            ),
            (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space", Transient, ""),
            (Rcpt, "452 too many recipients", Split, ""),
            (
                Data,
                "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n550-5.4.5 sending limits go to\n550 5.4.5  https://support.google.com/a/answer/166852 x - gsmtp",
                Account,
                "24 hours",
            ),
            (Data, "550 5.4.5 Daily sending quota exceeded. x - gsmtp", Account, "24 hours"),
            (Data, "551 5.7.1 Not authorised to send from this header address", Message, "identities"),
            (Data, "554 5.2.252 SendAsDenied; a@x not allowed to send as b@x", Message, "from"),
            (Data, "554 Message rejected: Email address is not verified.", Message, "verif"),
            (Data, "552 5.7.0 This message was blocked\n", Message, ""),
            (Data, "554 5.6.0 Mail message is malformed. Not accepted.", Message, ""),
            (Data, "421 4.7.28 unusual rate of mail", Transient, ""),
            (Data, "550 5.3.2 system not accepting network messages", Transient, ""),
            (Greeting, "554 no", Account, "server name"),
            (Greeting, "421 busy", Transient, ""),
            (Ehlo, "550 no", Account, "ehlo-name"),
            (Ehlo, "501 5.5.4 HELO/EHLO argument \"a_b\" invalid, closing connection.", Account, "ehlo-name"),
            (Ehlo, "421 4.7.0 Try again later, closing connection. (EHLO)", Transient, "ehlo-name"),
            (StartTls, "454 TLS not available", Transient, ""),
        ];
        for (stage, text, verdict, words) in cases {
            let explanation = classify(*stage, &reply(text));
            assert_eq!(explanation.verdict, *verdict, "{stage:?} {text}");
            let hint = explanation.hint.unwrap_or_default();
            assert!(hint.contains(words), "{stage:?} {text}: {hint:?} lacks {words:?}");
        }
    }

    #[test]
    fn every_row_can_be_reached_and_says_where_it_comes_from() {
        let catalogue: Catalogue = toml::from_str(include_str!("replies.toml")).unwrap();
        for (index, row) in catalogue.reply.iter().enumerate() {
            assert!(!row.source.is_empty() && !row.provider.is_empty());
            assert!(
                row.code.is_some() || row.enhanced.is_some() || row.token.is_some() || row.phrase.is_some(),
                "row {index} fits everything"
            );
            let stages =
                [Stage::Greeting, Stage::Ehlo, Stage::StartTls, Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Data];
            let stage = row.stage.as_deref().map_or(Stage::Data, |key| {
                *stages.iter().find(|stage| stage_key(**stage) == key).unwrap_or_else(|| panic!("no stage {key:?}"))
            });
            let mut text = row.enhanced.clone().unwrap_or_default();
            if let Some(phrase) = &row.phrase {
                assert_eq!(*phrase, phrase.to_lowercase());
                text = format!("{text} {phrase}");
            }
            if let Some(token) = &row.token {
                text = format!("{text} https://support.google.com/mail/?p={token} x");
            }
            let reply = Reply { code: row.code.unwrap_or(599), lines: vec![text.trim_start().to_owned()] };
            let lower = reply.text().to_lowercase();
            let first = catalogue.reply.iter().position(|row| row.fits(stage, &reply, &lower));
            assert_eq!(first, Some(index), "a row above hides {:?}", reply.to_string());
        }
    }

    #[test]
    fn a_login_that_is_visibly_wrong_is_named() {
        let refused = reply("535 5.7.8 https://support.google.com/mail/?p=BadCredentials x");
        let hint = |user, app_password| {
            let login = Login { user, host: "smtp.gmail.com", app_password };
            classify_login(&refused, login).hint.unwrap()
        };
        assert!(hint("alice", true).starts_with("the user name is the full address: set user = \"alice@gmail.com\""));
        assert!(hint("alice@gmial.com", true).starts_with("the user name is probably alice@gmail.com"));
        assert!(hint("alice@gmail.com", false).starts_with("the password is not an App Password"));
        assert!(hint("alice@gmail.com", true).starts_with("Gmail wants an App Password"));
    }

    #[test]
    fn a_mistyped_server_is_recognised() {
        let cases = [
            ("smtp.gmial.com", Some("smtp.gmail.com")),
            ("mail.google.com", Some("smtp.gmail.com")),
            ("smtp.ofice365.com", Some("smtp.office365.com")),
            ("smtp.gmail.com", None),
            ("smtp.work.example", None),
        ];
        for (host, expected) in cases {
            assert_eq!(nearest_host(host), expected, "{host}");
        }
    }
}

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
mod tests;

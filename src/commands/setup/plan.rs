//! From what was said, what is known of the provider and what a person answers, to the lines of an account.

use super::asker::{Asker, Unanswered, secret_from_stdin};
use super::facts::{Facts, Port, User};
use super::lookup::{Known, Sources, look_up};
use crate::cli::{PasswordFrom, Setup};
use crate::commands::Failed;
use crate::commands::providers::Unknown;
use crate::config::Password;
use crate::config::editor::{Editor, Entry};
use crate::config::presets::{self, PasswordKind, Preset};
use crate::mail::address::Mailbox;
use zeroize::Zeroizing;

/// An account as it is going to be.
pub struct Plan {
    pub name: String,
    pub address: Mailbox,
    pub preset: Option<Preset>,
    pub host: String,
    /// Named, or else the preset's or the usual ones.
    pub port: Option<u16>,
    /// How the port begins, when its number does not say it and it is known.
    pub tls: Option<&'static str>,
    pub user: Option<String>,
    pub secret: Option<Entry>,
}

impl Plan {
    /// Asks for whatever is not known.
    pub fn make(
        wishes: &Setup,
        name: Option<&str>,
        asker: Asker,
        editor: &Editor,
        sources: &Sources,
    ) -> Result<Plan, Failed> {
        let address = address(wishes, asker)?;
        let known = provider(wishes, &address, asker, sources)?;
        let facts = Facts::of(&known, &address);
        let preset = match known {
            Known::Preset(preset) => Some(*preset),
            Known::Offer(_) | Known::Nobody => None,
        };
        if let Some(preset) = &preset {
            introduce(preset, asker)?;
        }
        let host = match wishes.host.clone().or(facts.host) {
            Some(host) => host,
            None => asker.ask("Mail server (SMTP host)", None, "--host")?,
        };
        let (port, tls) = match (wishes.port, facts.port) {
            (Some(port), _) => (Some(port), None),
            (None, Port::At(port, tls)) => (Some(port), tls),
            (None, Port::Preset) => (None, None),
            (None, Port::Unknown) => (port(asker)?, None),
        };
        let user = match (&wishes.user, facts.user) {
            (Some(user), _) => Some(user.clone()),
            (None, User::None) => None,
            (None, User::Is(user)) => Some(user),
            (None, User::Unknown(suggestion)) => Some(asker.ask("Login name", suggestion.as_deref(), "--user")?),
        };
        let secret = match &user {
            Some(_) => Some(secret(wishes, preset.as_ref(), facts.wants_token, asker)?),
            None => None,
        };
        let name = match name {
            Some(name) => name.to_owned(),
            None => free_name(preset.as_ref(), &address, editor),
        };
        Ok(Plan { name, address, preset, host, port, tls, user, secret })
    }

    /// The lines of the account.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(preset) = &self.preset {
            entries.push(Entry::text("provider", &preset.id));
        }
        if self.preset.as_ref().and_then(|preset| preset.host.as_deref()) != Some(&self.host) {
            entries.push(Entry::text("host", &self.host));
        }
        entries.extend(self.port.map(|port| Entry::number("port", port)));
        entries.extend(self.tls.map(|tls| Entry::text("tls", tls)));
        entries.extend(self.user.as_ref().map(|user| Entry::text("user", user)));
        entries.extend(self.secret.clone());
        if self.user.as_deref() != Some(&self.address.to_string()) {
            entries.push(Entry::text("from", self.address.to_string()));
        }
        entries
    }
}

fn address(wishes: &Setup, asker: Asker) -> Result<Mailbox, Unanswered> {
    let mut said = wishes.address.clone();
    loop {
        let text = match said.take() {
            Some(text) => text,
            None => asker.ask("Address to send from", None, "an address")?,
        };
        let problem = match Mailbox::parse(&text) {
            Ok(address) => return Ok(address),
            Err(error) => error.to_string(),
        };
        if asker == Asker::Nobody {
            return Err(Unanswered::Unusable(problem));
        }
        asker.say(&problem);
    }
}

/// The provider: named, or else looked for.
fn provider(wishes: &Setup, address: &Mailbox, asker: Asker, sources: &Sources) -> Result<Known, Failed> {
    if let Some(id) = &wishes.provider {
        let found = presets::find(id).ok_or_else(|| Unknown(id.clone()))?;
        return Ok(Known::Preset(Box::new(found)));
    }
    if wishes.host.is_some() {
        return Ok(Known::Nobody);
    }
    let known = look_up(address, sources, asker)?;
    if known == Known::Nobody {
        asker.say(&format!("no provider is known for {}: its help pages name the SMTP server", address.domain()));
    }
    Ok(known)
}

/// What a person should know of the provider before the password is asked for.
fn introduce(preset: &Preset, asker: Asker) -> Result<(), Unanswered> {
    if preset.host.is_none() && preset.ports.is_empty() {
        return Err(Unanswered::Unusable(
            preset.hint.clone().unwrap_or_else(|| format!("{} lets no program send", preset.name)),
        ));
    }
    asker.say(&format!("{}: {}", preset.name, preset.host.as_deref().unwrap_or("the host differs by customer")));
    asker.say(&format!("  password: {}", preset.password));
    for (name, text) in [("note", &preset.hint), ("help", &preset.help)] {
        if let Some(text) = text {
            asker.say(&format!("  {name}: {text}"));
        }
    }
    Ok(())
}

fn port(asker: Asker) -> Result<Option<u16>, Unanswered> {
    loop {
        let said = asker.ask("Port", Some("587, else 465"), "--port")?;
        match said.parse() {
            Ok(port) if port > 0 => return Ok(Some(port)),
            _ if said.starts_with("587, ") => return Ok(None),
            _ => asker.say("a port is a number between 1 and 65535"),
        }
    }
}

fn secret(wishes: &Setup, preset: Option<&Preset>, wants_token: bool, asker: Asker) -> Result<Entry, Unanswered> {
    match &wishes.password {
        PasswordFrom::Command(line) => Ok(Entry::text("password-command", line)),
        PasswordFrom::TokenCommand(line) => Ok(Entry::text("token-command", line)),
        PasswordFrom::Client(id) => Ok(Entry::client(id)),
        PasswordFrom::Stdin if wants_token => {
            Err(Unanswered::Unusable("no password works there: take --client-id, or --token-command".into()))
        }
        PasswordFrom::Stdin => {
            tidy(secret_from_stdin()?, preset, Asker::Nobody).map(|text| Entry::secret("password", &text))
        }
        // Where tokens are given out is known.
        PasswordFrom::Asked if wants_token && preset.is_some_and(|preset| preset.oauth2.is_some()) => {
            asker.say(
                "  note: as which client you log in with OAuth 2; for a program that prints tokens, --token-command",
            );
            Ok(Entry::client(asker.ask("OAuth 2 client id", None, "--client-id")?))
        }
        PasswordFrom::Asked if wants_token => {
            let line = asker.ask("Program that prints an access token", None, "--token-command")?;
            Ok(Entry::text("token-command", line))
        }
        PasswordFrom::Asked => password(preset, asker),
    }
}

/// Asks for a password and stores it as it is meant.
pub fn password(preset: Option<&Preset>, asker: Asker) -> Result<Entry, Unanswered> {
    let question = match preset.map(|preset| preset.password) {
        Some(PasswordKind::App) => "App password",
        Some(PasswordKind::ApiKey) => "API key",
        _ => "Password",
    };
    let typed = tidy(asker.ask_secret(question, "--password-stdin")?, preset, asker)?;
    Ok(Entry::secret("password", &typed))
}

/// Joins the groups of an App Password of Google's, and asks again, once, for what cannot be one.
fn tidy(typed: Zeroizing<String>, preset: Option<&Preset>, asker: Asker) -> Result<Zeroizing<String>, Unanswered> {
    if !preset.is_some_and(|preset| preset.host.as_deref().is_some_and(is_google)) {
        return Ok(typed);
    }
    let Some(joined) = joined(&typed) else {
        let words = "that is no App Password of Google's: those are 16 small letters; the ordinary password is refused";
        asker.say(words);
        let again = asker.ask_secret("App password", "--password-stdin").map_err(|error| match asker {
            Asker::Nobody => Unanswered::Unusable(words.into()),
            Asker::Person => error,
        })?;
        return Ok(joined(&again).unwrap_or(again));
    };
    Ok(joined)
}

fn is_google(host: &str) -> bool {
    host.ends_with(".gmail.com")
}

fn joined(typed: &str) -> Option<Zeroizing<String>> {
    let is_one = Password::new(typed.as_bytes().to_vec()).looks_like_app_password();
    is_one.then(|| Zeroizing::new(typed.chars().filter(|c| !c.is_whitespace()).collect()))
}

/// A name for the account that is not in use: the provider's, else the first part of the domain.
fn free_name(preset: Option<&Preset>, address: &Mailbox, editor: &Editor) -> String {
    let first = address.domain().split('.').next().unwrap_or_default().to_lowercase();
    let first: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let stem = preset.map(|preset| preset.id.clone()).unwrap_or(first);
    let stem = if stem.is_empty() { "main".to_owned() } else { stem };
    let same = |name: &String| !editor.has_account(name) || editor.is_of(name, &address.to_string());
    let numbered = (2..100).map(|number| format!("{stem}-{number}"));
    std::iter::once(stem.clone()).chain(numbered).find(same).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::super::dns::Resolver;
    use super::*;
    use std::path::Path;

    fn plan(wishes: Setup) -> Result<Plan, String> {
        let editor = Editor::open(Path::new("/no/such.toml")).unwrap();
        let resolver = Resolver { servers: Vec::new() };
        let sources = Sources { fetch: &|_| None, resolver: &resolver };
        Plan::make(&wishes, None, Asker::Nobody, &editor, &sources).map_err(|failed| failed.reason())
    }

    fn wishes(address: &str) -> Setup {
        let password = PasswordFrom::Command("pass x".into());
        Setup { address: Some(address.into()), password, ..Setup::default() }
    }

    #[test]
    fn a_known_address_is_enough() {
        let plan = plan(wishes("me@gmail.com")).unwrap();
        assert_eq!(plan.name, "gmail");
        let wanted = [
            Entry::text("provider", "gmail"),
            Entry::text("user", "me@gmail.com"),
            Entry::text("password-command", "pass x"),
        ];
        assert_eq!(plan.entries(), wanted);
    }

    #[test]
    fn an_unknown_one_needs_its_host() {
        assert_eq!(plan(wishes("me@mail.test")).err().unwrap(), "not said, and nobody to ask: mail server (smtp host)");
        let made =
            plan(Setup { host: Some("smtp.mail.test".into()), port: Some(2525), ..wishes("me@mail.test") }).unwrap();
        assert_eq!(made.name, "mail");
        let wanted = [
            Entry::text("host", "smtp.mail.test"),
            Entry::number("port", 2525),
            Entry::text("tls", "starttls"),
            Entry::text("user", "me@mail.test"),
            Entry::text("password-command", "pass x"),
        ];
        assert_eq!(Plan { tls: Some("starttls"), ..made }.entries(), wanted);
    }

    #[test]
    fn what_a_domain_says_of_itself_is_enough() {
        let page = "<clientConfig><outgoingServer type=\"smtp\"><hostname>mail.hoster.example.net</hostname>\
                    <port>4465</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username>\
                    <authentication>password-cleartext</authentication></outgoingServer></clientConfig>";
        let resolver = Resolver { servers: Vec::new() };
        let fetch =
            |url: &str| url.starts_with("https://autoconfig.corp.example.org/").then(|| page.as_bytes().to_vec());
        let sources = Sources { fetch: &fetch, resolver: &resolver };
        let editor = Editor::open(Path::new("/no/such.toml")).unwrap();
        let made = Plan::make(&wishes("me@corp.example.org"), None, Asker::Nobody, &editor, &sources).unwrap();
        let wanted = [
            Entry::text("host", "mail.hoster.example.net"),
            Entry::number("port", 4465),
            Entry::text("tls", "implicit"),
            Entry::text("user", "me"),
            Entry::text("password-command", "pass x"),
            Entry::text("from", "me@corp.example.org"),
        ];
        assert_eq!((made.name.as_str(), made.entries().as_slice()), ("corp", wanted.as_slice()));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let gmial = Setup { provider: Some("gmial".into()), ..wishes("me@x.test") };
        assert_eq!(plan(gmial).err().unwrap(), "no provider is called \"gmial\"");
        assert_eq!(
            plan(wishes("me@tutanota.com")).err().unwrap(),
            "Tuta has no SMTP, so no program can send through it"
        );
        assert!(plan(wishes("me")).is_err());
    }

    #[test]
    fn an_app_password_is_joined_and_an_ordinary_one_refused() {
        let gmail = presets::find("gmail");
        let tidied =
            |text: &str| tidy(Zeroizing::new(text.into()), gmail.as_ref(), Asker::Nobody).map(|text| text.to_string());
        assert_eq!(tidied("abcd efgh\u{a0}ijkl mnop").unwrap(), "abcdefghijklmnop");
        assert!(tidied("hunter2").unwrap_err().to_string().starts_with("that is no App Password"));
        let other = tidy(Zeroizing::new("my pass word".into()), presets::find("fastmail").as_ref(), Asker::Nobody);
        assert_eq!(other.unwrap().as_str(), "my pass word");
    }
}

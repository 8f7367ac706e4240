//! Which commands of our own? This table: a row each. How a command line is cut into them is in `mailchute.rs`.

use super::age;
use std::path::PathBuf;
use std::time::Duration;

/// A command of our own, with all it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    Queue(QueueCommand),
    /// Set up an account.
    Setup(Box<Setup>),
    /// Get tokens for an account, or keep its password in the keyring.
    Login(Login),
    /// Take over what another program knows.
    Import(Import),
    /// Find out why mail does not go.
    Doctor(Listing),
    /// Say how the queue stands, for monitoring.
    Health(Health),
    /// The providers there are presets for, or all that is known of one.
    Providers(Option<String>),
    /// Take mail of local users and send it.
    Serve(Role),
}

/// From when on the queue does not stand well; `None` for never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub warning_age: Option<Duration>,
    pub critical_age: Option<Duration>,
    pub warning_queued: Option<u64>,
    pub critical_queued: Option<u64>,
}

impl Default for Health {
    /// An hour, as greylisting and a short outage of the relay have it; a day.
    fn default() -> Health {
        let hour = Duration::from_secs(3600);
        let (warning_age, critical_age) = (Some(hour), Some(24 * hour));
        Health { warning_age, critical_age, warning_queued: None, critical_queued: None }
    }
}

/// What of that which waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// All that no person has put on hold.
    All,
    /// What the schedule would try by now.
    Due,
}

/// Which half of the spooler a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes mail, and starts another that sends.
    Both,
    Accept,
    Send,
}

/// What is known of an account that is to be set up; the rest is asked, when there is somebody to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub address: Option<String>,
    pub provider: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: PasswordFrom,
    pub keyring: bool,
    pub root: Option<String>,
    /// Keep mail in this Maildir; nothing else is to be known.
    pub maildir: Option<String>,
    pub default: bool,
    pub replace: bool,
    pub test_mail: bool,
    pub no_test: bool,
}

/// How to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    pub device: bool,
    pub password_stdin: bool,
    pub no_test: bool,
}

/// Whose configuration becomes ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub program: Foreign,
    /// Its file; `None` for the usual place.
    pub file: Option<PathBuf>,
    pub write: bool,
    pub replace: bool,
}

/// A program whose configuration can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Msmtp,
    Ssmtp,
    Nullmailer,
    Dma,
    Postfix,
    Git,
}

/// Where the password of a new account comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PasswordFrom {
    #[default]
    Asked,
    Stdin,
    Command(String),
    TokenCommand(String),
    /// OAuth 2 as this client.
    Client(String),
}

/// What to do with the queue. Ids are as typed and not empty lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueCommand {
    List(Listing),
    Show(String),
    /// Write what Prometheus reads.
    Metrics,
    Flush(Waiting),
    Retry(Vec<String>),
    Hold(Vec<String>),
    Release(Vec<String>),
    Remove(Removal),
    Dead(DeadCommand),
}

/// In which form things are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// For people.
    Text,
    Json,
}

/// Which entries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    Ids(Vec<String>),
    All,
    OlderThan(Duration),
}

/// What to do with messages that were given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadCommand {
    List(Listing),
    Retry(Vec<String>),
    Remove(Vec<String>),
}

/// One command.
pub struct Command {
    /// The words that name it.
    pub name: &'static str,
    /// What stands behind them, as help and man page show it.
    pub arguments: &'static str,
    /// The options it knows besides the global ones: without dashes, one that takes an argument ends in `=`; and a line
    /// of help for each.
    pub options: &'static [(&'static str, &'static str)],
    /// One line for help.
    pub help: &'static str,
    /// `None` for operands that do not fit.
    pub(super) make: fn(Given) -> Option<Own>,
}

/// Every command, in the order of help.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "queue list", arguments: "[--json]", options: JSON, help: "list what waits",
        make: |given| given.listing().map(|listing| Own::Queue(QueueCommand::List(listing))) },
    Command { name: "queue show", arguments: "id", options: &[], help: "show an entry: envelope, attempts, header",
        make: |given| given.one().map(|id| Own::Queue(QueueCommand::Show(id))) },
    Command { name: "queue metrics", arguments: "", options: &[], help: "write the numbers that Prometheus reads",
        make: |given| given.nothing().map(|()| Own::Queue(QueueCommand::Metrics)) },
    Command { name: "queue flush", arguments: "[--due]", options: DUE,
        help: "try everything now, as sendmail -q does; or what is due",
        make: |given| given.waiting().map(|waiting| Own::Queue(QueueCommand::Flush(waiting))) },
    Command { name: "queue retry", arguments: "id ...", options: &[], help: "try these entries now",
        make: |given| given.some().map(|ids| Own::Queue(QueueCommand::Retry(ids))) },
    Command { name: "queue hold", arguments: "id ...", options: &[], help: "keep these entries from being tried",
        make: |given| given.some().map(|ids| Own::Queue(QueueCommand::Hold(ids))) },
    Command { name: "queue release", arguments: "id ...", options: &[], help: "end a hold",
        make: |given| given.some().map(|ids| Own::Queue(QueueCommand::Release(ids))) },
    Command { name: "queue remove", arguments: "id ... | --all | --older-than age", options: REMOVE,
        help: "remove entries without sending them; an age is 5d, 12h, 30m",
        make: |given| given.removal().map(|removal| Own::Queue(QueueCommand::Remove(removal))) },
    Command { name: "queue dead list", arguments: "[--json]", options: JSON, help: "list what was given up",
        make: |given| given.listing().map(|listing| dead(DeadCommand::List(listing))) },
    Command { name: "queue dead retry", arguments: "id ...", options: &[], help: "put these back into the queue",
        make: |given| given.some().map(|ids| dead(DeadCommand::Retry(ids))) },
    Command { name: "queue dead remove", arguments: "id ...", options: &[], help: "remove these for good",
        make: |given| given.some().map(|ids| dead(DeadCommand::Remove(ids))) },
    Command { name: "setup", arguments: "[address] [options]", options: SETUP, help: "set up an account and try it",
        make: |given| given.setup().map(|wishes| Own::Setup(Box::new(wishes))) },
    Command { name: "login", arguments: "[options]", options: LOGIN,
        help: "log in with OAuth 2, or put a password into the keyring",
        make: |given| given.login().map(Own::Login) },
    Command { name: "import", arguments: "program [file] [options]", options: IMPORT,
        help: "take over msmtp, ssmtp, nullmailer, dma, postfix, git",
        make: |given| given.import().map(Own::Import) },
    Command { name: "doctor", arguments: "[--json]", options: JSON, help: "find out why mail does not go, without sending any",
        make: |given| given.listing().map(Own::Doctor) },
    Command { name: "health", arguments: "[options]", options: HEALTH, help: "say in one line how the queue stands, for monitoring",
        make: |given| given.health().map(Own::Health) },
    Command { name: "providers", arguments: "[name]", options: &[], help: "list the providers known, or show one",
        make: |given| given.at_most_one().map(Own::Providers) },
    Command { name: "serve", arguments: "[--accept | --send]", options: SERVE,
        help: "take mail of local users and send it; or do one of the two",
        make: |given| given.role().map(Own::Serve) },
];

const JSON: &[(&str, &str)] = &[("json", "for programs")];
const DUE: &[(&str, &str)] = &[("due", "only what the schedule would try by now")];
const REMOVE: &[(&str, &str)] = &[("all", "everything that waits"), ("older-than=", "what is older than this")];
const SERVE: &[(&str, &str)] = &[("accept", "only take mail"), ("send", "only send it")];

const HEALTH: &[(&str, &str)] = &[
    ("warn-age=", "warn when a message waits for so long; 1h"),
    ("crit-age=", "critical when a message waits for so long; 1d"),
    ("warn-queued=", "warn when so many messages wait"),
    ("crit-queued=", "critical when so many messages wait"),
];

const SETUP: &[(&str, &str)] = &[
    ("provider=", "take the preset of this provider"),
    ("host=", "submit to this host"),
    ("port=", "on this port; else 587, and 465 where a network blocks that"),
    ("user=", "log in with this name"),
    ("password-stdin", "read the password from standard input"),
    ("keyring", "keep the password in the desktop's keyring, not in the file"),
    ("password-command=", "keep no password, but the program that prints it"),
    ("client-id=", "log in with OAuth 2 as this client, by mailchute login"),
    ("token-command=", "the program that prints an OAuth 2 access token"),
    ("maildir=", "keep mail in this folder of yours, and send none"),
    ("root=", "who gets mail for root; else the address"),
    ("default", "make it the default account"),
    ("replace", "replace the account of that name"),
    ("test-mail", "send a test mail to the address"),
    ("no-test", "write it without logging in"),
];

const LOGIN: &[(&str, &str)] = &[
    ("device", "with a code to type on another device; else with a browser"),
    ("password-stdin", "read the password for the keyring from standard input"),
    ("no-test", "do not try it with the relay"),
];

const IMPORT: &[(&str, &str)] = &[
    ("write", "put them into the configuration instead of printing them"),
    ("replace", "replace accounts of the same names"),
];

/// The programs whose configuration can be read, as they are named.
pub const FOREIGN: [(&str, Foreign); 6] = [
    ("msmtp", Foreign::Msmtp),
    ("ssmtp", Foreign::Ssmtp),
    ("nullmailer", Foreign::Nullmailer),
    ("dma", Foreign::Dma),
    ("postfix", Foreign::Postfix),
    ("git", Foreign::Git),
];

fn dead(command: DeadCommand) -> Own {
    Own::Queue(QueueCommand::Dead(command))
}

impl Command {
    /// Name and arguments, as help and man page show them.
    pub fn synopsis(&self) -> String {
        format!("mailchute {} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

/// What a command was told behind its name.
pub(super) struct Given {
    /// The words behind its name.
    pub words: Vec<String>,
    /// Its options as the row writes them, each with its argument or an empty text.
    pub options: Vec<(&'static str, String)>,
}

impl Given {
    fn nothing(self) -> Option<()> {
        self.words.is_empty().then_some(())
    }

    fn one(self) -> Option<String> {
        <[String; 1]>::try_from(self.words).ok().map(|[word]| word)
    }

    fn at_most_one(self) -> Option<Option<String>> {
        if self.words.is_empty() { Some(None) } else { self.one().map(Some) }
    }

    fn some(self) -> Option<Vec<String>> {
        (!self.words.is_empty()).then_some(self.words)
    }

    fn listing(self) -> Option<Listing> {
        let listing = if self.options.is_empty() { Listing::Text } else { Listing::Json };
        self.nothing().map(|()| listing)
    }

    fn waiting(self) -> Option<Waiting> {
        let waiting = if self.options.is_empty() { Waiting::All } else { Waiting::Due };
        self.nothing().map(|()| waiting)
    }

    fn role(self) -> Option<Role> {
        let role = match self.options.as_slice() {
            [] => Role::Both,
            [("accept", _)] => Role::Accept,
            [("send", _)] => Role::Send,
            _ => return None,
        };
        self.nothing().map(|()| role)
    }

    fn removal(self) -> Option<Removal> {
        match self.options.as_slice() {
            [] => self.some().map(Removal::Ids),
            [("all", _)] => self.nothing().map(|()| Removal::All),
            [(_, value)] => age::parse(value).and_then(|age| self.nothing().map(|()| Removal::OlderThan(age))),
            _ => None,
        }
    }

    fn login(self) -> Option<Login> {
        let has = |name: &str| self.options.iter().any(|(option, _)| *option == name);
        let wishes = Login { device: has("device"), password_stdin: has("password-stdin"), no_test: has("no-test") };
        self.nothing().map(|()| wishes)
    }

    fn health(self) -> Option<Health> {
        let mut health = Health::default();
        for (option, value) in &self.options {
            match *option {
                "warn-age=" => health.warning_age = Some(age::parse(value)?),
                "crit-age=" => health.critical_age = Some(age::parse(value)?),
                "warn-queued=" => health.warning_queued = Some(value.parse().ok()?),
                _ => health.critical_queued = Some(value.parse().ok()?),
            }
        }
        self.nothing().map(|()| health)
    }

    fn import(self) -> Option<Import> {
        let has = |name: &str| self.options.iter().any(|(option, _)| *option == name);
        let (write, replace) = (has("write"), has("replace"));
        let mut words = self.words.into_iter();
        let name = words.next()?;
        let program = FOREIGN.iter().find(|(known, _)| *known == name)?.1;
        let file = words.next().map(PathBuf::from);
        words.next().is_none().then_some(Import { program, file, write, replace })
    }

    fn setup(self) -> Option<Setup> {
        let mut wishes = Setup::default();
        for (option, value) in self.options {
            match option {
                "provider=" => wishes.provider = Some(value),
                "host=" => wishes.host = Some(value),
                "port=" => wishes.port = Some(value.parse().ok().filter(|port| *port > 0)?),
                "user=" => wishes.user = Some(value),
                "password-stdin" => wishes.password = PasswordFrom::Stdin,
                "password-command=" => wishes.password = PasswordFrom::Command(value),
                "client-id=" => wishes.password = PasswordFrom::Client(value),
                "token-command=" => wishes.password = PasswordFrom::TokenCommand(value),
                "keyring" => wishes.keyring = true,
                "root=" => wishes.root = Some(value),
                "maildir=" => wishes.maildir = Some(value),
                "default" => wishes.default = true,
                "replace" => wishes.replace = true,
                "test-mail" => wishes.test_mail = true,
                _ => wishes.no_test = true,
            }
        }
        let is_typed = matches!(wishes.password, PasswordFrom::Asked | PasswordFrom::Stdin);
        if self.words.len() > 1 || wishes.test_mail && wishes.no_test || wishes.keyring && !is_typed {
            return None;
        }
        // A folder has no login to be set up.
        let Setup { maildir, default, replace, .. } = wishes.clone();
        if maildir.is_some()
            && (wishes != Setup { maildir, default, replace, ..Setup::default() } || !self.words.is_empty())
        {
            return None;
        }
        wishes.address = self.words.into_iter().next();
        Some(wishes)
    }
}

//! `mailchute setup`: from an address to an account that works. What is not said is looked up, then asked; the login is
//! tried before anything is written, with the very lines that will be.

pub mod asker;
mod autoconfig;
pub(super) mod dns;
mod facts;
mod folder;
mod lookup;
mod plan;
pub mod trial;

use super::Failed;
use super::context::Context;
use crate::cli::{Global, PasswordFrom, Setup};
use crate::config::editor::{Editor, Entry, EntryValue};
use crate::config::keeper::Keeper;
use crate::config::{Account, Config, Keyring, Password, Secret};
use crate::diagnostic;
use crate::exit::Exit;
use crate::mail::outcome::Stage;
use crate::process::{self, Process};
use crate::submission::{Roots, Session};
use asker::{Asker, Unanswered};
use dns::Resolver;
use lookup::Sources;
use plan::Plan;
use std::path::PathBuf;

/// Asks, tries, writes, and sends a test mail when it is wished.
///
/// # Errors
/// Something is missing and nobody is there to ask, the login fails, the file cannot be written. Nothing is written
/// then, but when it is the test mail that fails.
pub fn set_up(process: &Process, global: &Global, wishes: &Setup) -> Result<Exit, Failed> {
    if let Some(folder) = &wishes.maildir {
        return folder::set_up(process, global, wishes, folder);
    }
    let mut editor = Editor::open(&target(process, global)?)?;
    let asker = Asker::new(wishes.password == PasswordFrom::Stdin);
    let roots = Roots { ssl_cert_file: process.variable("SSL_CERT_FILE").map(PathBuf::from) };
    let fetch = |url: &str| lookup::fetch(url, &roots);
    let sources = Sources { fetch: &fetch, resolver: &Resolver::of_this_host() };
    let plan = Plan::make(wishes, global.account.as_deref(), asker, &editor, &sources)?;
    check_name(&plan.name, wishes, asker, &editor)?;
    let root = root(&plan, wishes, asker, &editor)?;
    if wishes.default {
        editor.set_default(&plan.name);
    }
    let mut desk = Desk { process, global, asker, editor, plan };
    desk.settle_tls()?;
    let keeper = Keeper::of(process, &desk.context()?.config.spool);
    if wishes.keyring && keeper != Keeper::Caller {
        return Err(
            Unanswered::Unusable("--keyring: the spooler of this machine sees no keyring of root's".into()).into()
        );
    }
    if let Some(root) = root {
        desk.editor.set_alias("root", &root);
    }
    // A client has no token before its person has logged in.
    let logs_in_later = desk.plan.secret.as_ref().is_some_and(Entry::is_client);
    let session = if wishes.no_test || logs_in_later { None } else { Some(desk.log_in()?) };
    if keeper == Keeper::Caller {
        desk.settle_keyring(wishes)?;
    }
    let context = desk.context()?;
    desk.editor.write(keeper)?;
    process::say(&format!("account {} is in {}\n", desk.plan.name, desk.editor.path().display()));
    say_who_keeps(keeper);
    if logs_in_later {
        process::say(&format!("now log in: mailchute login --account {}\n", desk.plan.name));
    }
    if let Some(session) = session {
        desk.offer_test_mail(&context, session, wishes)?;
    }
    Ok(Exit::Ok)
}

/// The file to write: the one that is named, else the caller's own.
pub fn target(process: &Process, global: &Global) -> Result<PathBuf, Unanswered> {
    let variable = process.variable("MAILCHUTE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = global.config.clone().or(variable).or_else(|| Config::usual_file(process));
    named.ok_or_else(|| Unanswered::Unusable("this user has no home: name a file with --config".into()))
}

/// What remains to be done on a machine with a spooler, which has read the configuration when it started.
pub fn say_who_keeps(keeper: Keeper) {
    if let Keeper::Spooler { .. } = keeper {
        process::say(
            "its password is the spooler's alone: systemctl restart mailchute.service mailchute-send.service\n",
        );
    }
}

/// An account is never overwritten without a word.
fn check_name(name: &str, wishes: &Setup, asker: Asker, editor: &Editor) -> Result<(), Unanswered> {
    if !editor.has_account(name) || wishes.replace {
        return Ok(());
    }
    match asker.confirm(&format!("There is an account {name} already. Replace it?"), false)? {
        true => Ok(()),
        false => Err(Unanswered::Declined(format!("there is an account {name} already; nothing was written"))),
    }
}

/// Who gets what cron and daemons write to root, unless the file says it.
fn root(plan: &Plan, wishes: &Setup, asker: Asker, editor: &Editor) -> Result<Option<String>, Unanswered> {
    if editor.has_alias("root") && wishes.root.is_none() {
        return Ok(None);
    }
    match &wishes.root {
        Some(root) => Ok(Some(root.clone())),
        None => asker.ask("Mail for root goes to", Some(&plan.address.to_string()), "--root").map(Some),
    }
}

/// A file being made, until its account works.
struct Desk<'a> {
    process: &'a Process,
    global: &'a Global,
    asker: Asker,
    editor: Editor,
    plan: Plan,
}

impl<'a> Desk<'a> {
    /// What the file as it stands would mean.
    fn context(&self) -> Result<Context<'a>, Failed> {
        Ok(Context::of(self.process, self.global, self.editor.config(self.process)?))
    }

    fn account<'b>(&self, context: &'b Context) -> Result<&'b Account, Unanswered> {
        let account = context.config.account(&self.plan.name);
        account.ok_or_else(|| Unanswered::Unusable(format!("account {} cannot be made", self.plan.name)))
    }

    /// Puts the account in; finds out how its port begins when its number does not say it.
    fn settle_tls(&mut self) -> Result<(), Failed> {
        let unclear = |port: &u16| self.plan.tls.is_none() && ![587, 465].contains(port);
        let Some(port) = self.plan.port.filter(unclear) else {
            self.editor.set_account(&self.plan.name, &self.plan.entries());
            return Ok(());
        };
        self.plan.tls = Some("starttls");
        self.editor.set_account(&self.plan.name, &self.plan.entries());
        let context = self.context()?;
        self.plan.tls = Some(trial::tls_of(&context, self.account(&context)?, port));
        self.editor.set_account(&self.plan.name, &self.plan.entries());
        Ok(())
    }

    /// Logs in. A person whose password is refused may type another, once: providers lock out who guesses.
    fn log_in(&mut self) -> Result<Session, Failed> {
        self.asker.say("logging in ...");
        let context = self.context()?;
        let refused = match trial::log_in(&context, self.account(&context)?) {
            Ok(session) => return Ok(self.welcome(session)),
            Err(refused) => refused,
        };
        let typed = self.plan.secret.as_ref().is_some_and(Entry::is_secret);
        if self.asker == Asker::Nobody || !typed || refused.failure.stage != Stage::Auth {
            return Err(refused.into());
        }
        process::complain(&diagnostic::render(&refused));
        self.plan.secret = Some(plan::password(self.plan.preset.as_ref(), self.asker)?);
        self.editor.set_account(&self.plan.name, &self.plan.entries());
        let context = self.context()?;
        let session = trial::log_in(&context, self.account(&context)?)?;
        Ok(self.welcome(session))
    }

    /// Puts a password that was typed into the keyring instead of the file, when that is wished.
    fn settle_keyring(&mut self, wishes: &Setup) -> Result<(), Failed> {
        let Some(EntryValue::Secret(secret)) = self.plan.secret.as_ref().map(|entry| entry.value.clone()) else {
            return Ok(());
        };
        let question = "Keep the password in the keyring of this desktop, not in the file?";
        let wished = wishes.keyring || Keyring::is_there(self.process) && self.asker.confirm(question, false)?;
        if !wished {
            return Ok(());
        }
        self.plan.secret = Some(Entry::truth("keyring", true));
        self.editor.set_account(&self.plan.name, &self.plan.entries());
        let context = self.context()?;
        if let Some(Secret::Keyring(keyring)) = self.account(&context)?.secret.as_ref().map(Secret::source) {
            keyring.keep(&Password::new(secret.as_bytes().to_vec()))?;
        }
        Ok(())
    }

    fn welcome(&self, session: Session) -> Session {
        self.asker.say(&format!("accepted by {}", session.relay()));
        session
    }

    fn offer_test_mail(&self, context: &Context, session: Session, wishes: &Setup) -> Result<(), Failed> {
        let address = &self.plan.address;
        if !wishes.test_mail && !self.asker.confirm(&format!("Send a test mail to {address}?"), self.is_person())? {
            session.quit();
            return Ok(());
        }
        let reply = trial::send_mail(context, session, address)?;
        process::say(&format!("the test mail was taken: {}\n", diagnostic::printable(&reply.to_string())));
        Ok(())
    }

    fn is_person(&self) -> bool {
        self.asker == Asker::Person
    }
}

//! What every command needs before it starts: configuration, host names, aliases, log.

use super::Failed;
use crate::cli::Global;
use crate::config::{self, Account, Config};
use crate::diagnostic;
use crate::log::Log;
use crate::mail::address::{Addressee, Mailbox};
use crate::mail::envelope::ReversePath;
use crate::mail::header::Header;
use crate::process::{self, Process};
use crate::queue::conclude::{Desk, Readers};
use crate::queue::retry::Policy;
use crate::route::{self, Locals, RouteError};
use crate::spool::{Spool, SpoolError, Ticket};
use crate::submission::Roots;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The settings of one run.
pub struct Context<'a> {
    pub process: &'a Process,
    pub global: Global,
    pub config: Config,
    /// This host's names in lower case, the qualified one first.
    pub hosts: Vec<String>,
    pub system_aliases: BTreeMap<String, Vec<Addressee>>,
    pub log: Log,
    pub policy: Policy,
    pub roots: Roots,
}

impl<'a> Context<'a> {
    /// Reads configuration and aliases.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn load(process: &'a Process, global: &Global) -> Result<Context<'a>, Failed> {
        let config = Config::load(process, global.config.as_deref())?;
        Ok(Context::of(process, global, config))
    }

    /// The settings of a configuration already read.
    pub fn of(process: &'a Process, global: &Global, config: Config) -> Context<'a> {
        let aliases = config::aliases::read_system();
        let log = Log::open(config.log_file.as_deref(), &process.program);
        let policy = Policy {
            first: config.queue.retry_first,
            max: config.queue.retry_max,
            expire: config.queue.expire,
            warn_after: config.queue.warn_after,
        };
        aliases.warnings.iter().for_each(|warning| log.note(warning));
        Context {
            global: global.clone(),
            hosts: host_names(process, &config),
            system_aliases: aliases.names,
            roots: Roots { ssl_cert_file: process.variable("SSL_CERT_FILE").map(PathBuf::from) },
            process,
            config,
            log,
            policy,
        }
    }

    /// Opens the spool that the configuration names.
    ///
    /// # Errors
    /// It is missing and cannot be made, or is not safely ours.
    pub fn spool(&self) -> Result<Spool, SpoolError> {
        Spool::open(&self.config.spool)
    }

    /// The account of messages that say nothing of one.
    pub fn usual_account(&self) -> Option<&Account> {
        route::choose(&self.config, None, None, &Header::default()).ok().map(|route| route.account)
    }

    /// The account that a stored message goes through now. The header is read only when it decides.
    ///
    /// # Errors
    /// There is none.
    pub fn account_of(&self, ticket: &Ticket, header: &dyn Fn() -> Header) -> Result<&Account, RouteError> {
        let sender = match ticket.envelope.reverse_path() {
            ReversePath::Mailbox(mailbox) => Some(mailbox),
            ReversePath::Null => None,
        };
        let header = if self.config.accounts.len() > 1 { header() } else { Header::default() };
        route::choose(&self.config, ticket.account.as_deref(), sender, &header).map(|route| route.account)
    }

    /// What concluding an attempt needs.
    pub fn desk<'b>(&'b self, spool: &'b Spool) -> Desk<'b> {
        Desk { spool, log: &self.log, policy: &self.policy, host: &self.process.host, readers: self }
    }

    /// What routing knows of local names.
    pub fn locals(&self) -> Locals<'_> {
        Locals { config: &self.config, hosts: &self.hosts, system_aliases: &self.system_aliases }
    }
}

impl Readers for Context<'_> {
    fn of(&self, address: &Mailbox) -> Vec<Mailbox> {
        let addressee = [Addressee::Mailbox(address.clone())];
        let account = self.usual_account();
        let readers = account.and_then(|account| route::recipients(&self.locals(), account, &addressee).ok());
        let readers: Vec<Mailbox> = readers.into_iter().flatten().map(|recipient| recipient.mailbox).collect();
        if readers.is_empty() { vec![address.clone()] } else { readers }
    }
}

/// Tells a person that something was understood differently than it was written.
pub fn warn(words: &str) {
    process::complain(&diagnostic::warning(words));
}

fn host_names(process: &Process, config: &Config) -> Vec<String> {
    let host = process.host.to_lowercase();
    let short = host.split('.').next().unwrap_or_default().to_string();
    let mut names = vec![host, config.domain.to_lowercase(), short, "localhost".to_string()];
    names.dedup();
    names
}

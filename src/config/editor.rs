//! The configuration file changed by a program as a careful person would: what it says of others stays as it is,
//! comments and order included, and the new file takes the place of the old one at once or not at all.

use super::document::{self, Origin};
use super::error::ConfigError;
use super::keeper::Keeper;
use super::reader::Source;
use super::{Config, file, surroundings};
use crate::process::Process;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};
use zeroize::Zeroizing;

/// A file being changed; nothing is written before [`Editor::write`].
pub struct Editor {
    path: PathBuf,
    document: DocumentMut,
}

/// Where the spooler's secrets are, beside the configuration: a folder of root's that only the spooler can enter.
const SECRETS: &str = "secrets";

/// One key of an account and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: &'static str,
    pub value: EntryValue,
}

/// The values that accounts have.
#[derive(Clone, PartialEq, Eq)]
pub enum EntryValue {
    Text(String),
    Number(u16),
    Truth(bool),
    Words(Vec<String>),
    Secret(Zeroizing<String>),
    /// An OAuth 2 client by its id.
    Client(String),
}

/// A secret is not for logs and panics.
impl std::fmt::Debug for EntryValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EntryValue::Text(text) => write!(f, "{text:?}"),
            EntryValue::Number(number) => write!(f, "{number}"),
            EntryValue::Truth(truth) => write!(f, "{truth}"),
            EntryValue::Words(words) => write!(f, "{words:?}"),
            EntryValue::Secret(_) => f.write_str("(secret)"),
            EntryValue::Client(id) => write!(f, "client {id:?}"),
        }
    }
}

impl Entry {
    pub fn text(key: &'static str, value: impl Into<String>) -> Entry {
        Entry { key, value: EntryValue::Text(value.into()) }
    }

    pub fn number(key: &'static str, value: u16) -> Entry {
        Entry { key, value: EntryValue::Number(value) }
    }

    pub fn truth(key: &'static str, value: bool) -> Entry {
        Entry { key, value: EntryValue::Truth(value) }
    }

    pub fn words(key: &'static str, value: Vec<String>) -> Entry {
        Entry { key, value: EntryValue::Words(value) }
    }

    pub fn client(id: impl Into<String>) -> Entry {
        Entry { key: "oauth2", value: EntryValue::Client(id.into()) }
    }

    pub fn is_client(&self) -> bool {
        matches!(self.value, EntryValue::Client(_))
    }

    pub fn is_secret(&self) -> bool {
        matches!(self.value, EntryValue::Secret(_))
    }

    pub fn secret(key: &'static str, value: &str) -> Entry {
        Entry { key, value: EntryValue::Secret(Zeroizing::new(value.to_owned())) }
    }
}

impl Editor {
    /// Reads a file that may be missing.
    ///
    /// # Errors
    /// It is there and cannot be read, or is no TOML.
    pub fn open(path: &Path) -> Result<Editor, ConfigError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let at = |error: &dyn std::fmt::Display| ConfigError::of_file(&path, error.to_string());
        let text = match file::open(&path) {
            Ok(mut file) => file.text().map_err(|error| at(&error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
            Err(error) => return Err(at(&error)),
        };
        // The strict reader first: its errors name the line.
        Source::one(&path, &text).parse()?;
        let document = text.parse::<DocumentMut>().map_err(|error| at(&error.message()))?;
        Ok(Editor { path, document })
    }

    /// The same file as if nothing were in it yet.
    pub fn emptied(&self) -> Editor {
        Editor { path: self.path.clone(), document: DocumentMut::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn has_account(&self, name: &str) -> bool {
        self.account(name).is_some()
    }

    /// Whether an account sends as that address.
    pub fn is_of(&self, name: &str, address: &str) -> bool {
        let says = |key: &str| self.account(name).and_then(|account| account.get(key)).and_then(Item::as_str);
        [says("user"), says("from")].into_iter().flatten().any(|said| said.eq_ignore_ascii_case(address))
    }

    fn account(&self, name: &str) -> Option<&Item> {
        self.document.get("accounts")?.get(name)
    }

    /// Puts an account in, in the place of one of that name.
    pub fn set_account(&mut self, name: &str, entries: &[Entry]) {
        let accounts = self.document.entry("accounts").or_insert_with(|| {
            let mut accounts = Table::new();
            accounts.set_implicit(true);
            Item::Table(accounts)
        });
        let Some(accounts) = accounts.as_table_like_mut() else { return };
        let mut table = Table::new();
        // The comment above an account that is replaced stays, and so does its place.
        if let Some(old) = accounts.get(name).and_then(Item::as_table) {
            *table.decor_mut() = old.decor().clone();
            table.set_position(old.position());
        }
        for Entry { key, value } in entries {
            table.insert(key, Item::Value(value.to_toml()));
        }
        accounts.insert(name, Item::Table(table));
    }

    /// Makes an account the default.
    pub fn set_default(&mut self, name: &str) {
        self.set_top("default-account", name);
    }

    /// Sets a key that stands in front of all tables.
    pub fn set_top(&mut self, key: &str, value: &str) {
        self.document.insert(key, Item::Value(value.into()));
    }

    /// Whether an alias is there, in any case.
    pub fn has_alias(&self, name: &str) -> bool {
        let aliases = self.document.get("aliases").and_then(Item::as_table_like);
        aliases.is_some_and(|aliases| aliases.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)))
    }

    /// Says who gets the mail of a local name.
    pub fn set_alias(&mut self, name: &str, address: &str) {
        let aliases = self.document.entry("aliases").or_insert_with(|| Item::Table(Table::new()));
        if let Some(aliases) = aliases.as_table_like_mut() {
            aliases.insert(name, Item::Value(address.into()));
        }
    }

    /// The file as it would be.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.document.to_string())
    }

    /// What the file would mean.
    ///
    /// # Errors
    /// Whatever is wrong with it, at the line it would have.
    pub fn config(&self, process: &Process) -> Result<Config, ConfigError> {
        let text = self.text();
        let is_variable = process.variable("MAILCHUTE_CONFIG").is_some_and(|named| Path::new(named) == self.path);
        let origin = if is_variable { Origin::Variable } else { Origin::Usual };
        let is_usual = Config::usual_file(process).is_some_and(|usual| usual == self.path);
        let beside = if is_usual { super::fragments_of(&self.path, &text, process)? } else { Vec::new() };
        document::read(Source { file: &self.path, text: &text, over: &beside }, origin, &surroundings(process))
    }

    /// Writes the file, durably: a reader sees the old one or the new one. It is closed to all others; for a spooler,
    /// each secret of it moves to a file of the spooler's first.
    ///
    /// # Errors
    /// A folder or file cannot be written.
    pub fn write(&mut self, keeper: Keeper) -> Result<(), ConfigError> {
        // A link to a file that is kept elsewhere stays a link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().unwrap_or(Path::new("/"));
        let written = make_folder(folder).and_then(|()| match keeper {
            Keeper::Caller => put(&path, self.text().as_bytes(), 0o600, None),
            Keeper::Spooler { uid, gid } => {
                let secrets = folder.join(SECRETS);
                for (name, secret) in self.take_secrets() {
                    make_folder(&secrets)?;
                    chown(&secrets, None, Some(gid))?;
                    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o750))?;
                    put(&secrets.join(name), secret.as_bytes(), 0o600, Some((uid, gid)))?;
                }
                put(&path, self.text().as_bytes(), 0o644, None)
            }
        });
        written.map_err(|error| ConfigError::of_file(&self.path, format!("not written: {error}")))
    }

    /// Has each account name a file for each secret that stands in it; what those files must hold.
    fn take_secrets(&mut self) -> Vec<(String, Zeroizing<String>)> {
        let Some(accounts) = self.document.get_mut("accounts").and_then(Item::as_table_like_mut) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        for (name, account) in accounts.iter_mut() {
            let Some(account) = account.as_table_like_mut() else { continue };
            taken.extend(take(account, "password", name.get()));
            if let Some(client) = account.get_mut("oauth2").and_then(Item::as_table_like_mut) {
                taken.extend(take(client, "client-secret", &format!("{}+client-secret", name.get())));
            }
        }
        taken
    }
}

/// Puts the file of this name in the place of a secret; what it must hold.
fn take(table: &mut dyn TableLike, key: &str, name: &str) -> Option<(String, Zeroizing<String>)> {
    let Some(Item::Value(Value::String(secret))) = table.remove(key) else { return None };
    table.insert(&format!("{key}-file"), Item::Value(format!("{SECRETS}/{name}").into()));
    Some((name.to_owned(), Zeroizing::new(format!("{}\n", secret.value()))))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Puts a file in the place of another, whole.
#[allow(clippy::disallowed_methods, reason = "the configuration's own writer")]
fn put(path: &Path, text: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(format!(".config.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

impl EntryValue {
    fn to_toml(&self) -> Value {
        match self {
            EntryValue::Text(text) => text.as_str().into(),
            EntryValue::Number(number) => i64::from(*number).into(),
            EntryValue::Truth(truth) => (*truth).into(),
            EntryValue::Words(words) => Value::Array(Array::from_iter(words.iter().map(String::as_str))),
            EntryValue::Secret(secret) => secret.as_str().into(),
            EntryValue::Client(id) => Value::InlineTable(InlineTable::from_iter([("client-id", id.as_str())])),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    fn edited(text: &str, change: impl FnOnce(&mut Editor)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        if !text.is_empty() {
            fs::create_dir(folder.path().join("new")).unwrap();
            fs::write(&path, text).unwrap();
        }
        let mut editor = Editor::open(&path).unwrap();
        change(&mut editor);
        editor.write(Keeper::Caller).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::read_to_string(&path).unwrap()
    }

    fn gmail(editor: &mut Editor) {
        let entries = [Entry::text("provider", "gmail"), Entry::number("port", 465), Entry::secret("password", "a\"b")];
        editor.set_account("gmail", &entries);
    }

    #[test]
    fn a_file_is_begun() {
        let made = edited("", |editor| {
            gmail(editor);
            editor.set_alias("root", "me@x.org");
        });
        let wanted =
            "[accounts.gmail]\nprovider = \"gmail\"\nport = 465\npassword = 'a\"b'\n\n[aliases]\nroot = \"me@x.org\"\n";
        assert_eq!(made, wanted);
    }

    #[test]
    fn what_is_not_changed_stays_with_its_comments() {
        let before = "# mine\ndomain = \"x.org\" # really\n\n# the office\n[accounts.work]\nhost = \"w.org\"\n\n\
                      # old one\n[accounts.gmail]\nprovider = \"gmail\" # gone\n\n[queue]\nexpire = \"2d\"\n";
        let after = "# mine\ndomain = \"x.org\" # really\n\n# the office\n[accounts.work]\nhost = \"w.org\"\n\n\
                     # old one\n[accounts.gmail]\nprovider = \"gmail\"\nport = 465\npassword = 'a\"b'\n\n[queue]\n\
                     expire = \"2d\"\n";
        assert_eq!(edited(before, gmail), after);
        let added = edited("# mine\n[accounts.work]\nhost = \"w.org\"\n", |editor| {
            gmail(editor);
            editor.set_default("gmail");
        });
        assert!(added.contains("[accounts.work]\nhost = \"w.org\"\n"), "{added}");
        assert!(added.starts_with("default-account = \"gmail\"\n"), "{added}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        fs::write(&path, "a = \n").unwrap();
        assert_eq!(Editor::open(&path).err().unwrap().line, Some(1));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = \n");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut editor = Editor::open(&link).unwrap();
        gmail(&mut editor);
        editor.write(Keeper::Caller).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().contains("gmail"));
    }

    #[test]
    fn no_secret_stays_in_a_file_that_is_open_to_all() {
        for oauth2 in [
            "oauth2 = { client-id = \"c\", client-secret = \"s\" }\n",
            "oauth2.client-id = \"c\"\noauth2.client-secret = \"s\"\n",
            "[accounts.g.oauth2]\nclient-secret = \"s\"\nclient-id = \"c\"\n",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("c");
            fs::write(&path, format!("[accounts.w]\npassword = \"p\"\n[accounts.g]\n{oauth2}")).unwrap();
            let mut editor = Editor::open(&path).unwrap();
            let taken = editor.take_secrets();
            let taken: Vec<_> = taken.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
            assert_eq!(taken, [("w", "p\n"), ("g+client-secret", "s\n")]);
            let text = editor.text();
            assert!(!text.contains("\"p\"") && !text.contains("\"s\""), "{}", text.as_str());
            assert!(text.contains("client-secret-file = \"secrets/g+client-secret\""), "{}", text.as_str());
            editor.text().parse::<DocumentMut>().unwrap();
        }
    }

    #[test]
    fn a_secret_is_not_in_debug() {
        assert!(!format!("{:?}", Entry::secret("password", "hunter2")).contains("hunter2"));
    }
}

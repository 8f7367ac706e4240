//! A login's password in a netrc file: `machine HOST login NAME password SECRET`, as ftp(1), curl(1) and msmtp read it.

use super::file;
use super::password::{Password, SecretError, check_private};
use std::path::Path;

/// Looks up the password of a user at a host; the file is the caller's or root's, closed to all others.
pub(super) fn look_up(path: &Path, host: &str, user: &str) -> Result<Password, SecretError> {
    let shown = path.display();
    let at = |problem: &str| SecretError::new(format!("netrc {shown}: {problem}"));
    let mut file = file::open(path).map_err(|error| at(&error.to_string()))?;
    check_private("netrc", path, &file)?;
    let text = file.text().map_err(|error| at(&error.to_string()))?;
    find(&text, host, user).map(|password| Password::new(password.as_bytes().to_vec())).ok_or_else(|| {
        at(&format!("no password for {user} at {host}"))
            .with_hint(format!("machine {host} login {user} password ..., on one line"))
    })
}

/// The password of the first entry that fits: of that machine or the default one, of that login or of none.
fn find<'a>(text: &'a str, host: &str, user: &str) -> Option<&'a str> {
    let mut here = Entry::default();
    let mut tokens = tokens(text).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "machine" | "default" => {
                if let Some(password) = here.password_for(user) {
                    return Some(password);
                }
                let is_ours = token == "default" || tokens.next()?.eq_ignore_ascii_case(host);
                here = Entry { is_ours, ..Entry::default() };
            }
            "login" => here.login = tokens.next(),
            "password" => here.password = tokens.next(),
            "account" | "port" => drop(tokens.next()),
            _ => {}
        }
    }
    here.password_for(user)
}

#[derive(Default)]
struct Entry<'a> {
    is_ours: bool,
    login: Option<&'a str>,
    password: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn password_for(&self, user: &str) -> Option<&'a str> {
        (self.is_ours && self.login.is_none_or(|login| login == user)).then_some(self.password).flatten()
    }
}

/// Words between blanks, quotes taken off; a macro definition goes to its empty line, a comment to the line's end.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut in_macro = false;
    let lines = text.lines().filter(move |line| {
        let begins = line.split_whitespace().next() == Some("macdef");
        in_macro = begins || in_macro && !line.trim().is_empty();
        !in_macro
    });
    lines.flat_map(|line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with('#') {
                return None;
            }
            let quoted = rest.strip_prefix('"').and_then(|inside| inside.split_once('"'));
            let (token, behind) = quoted.unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
            rest = behind;
            Some(token)
        })
    })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_entry_that_fits_is_taken() {
        let text = "# mine\nmachine smtp.x.org login you password no\nmacdef init\n machine smtp.x.org password no\n\n\
                    machine other.org\n  login me password no\nmachine SMTP.x.org\n\tlogin me\n\tpassword \"se cr#et\"\n\
                    machine any.org password all\ndefault login me password fallen-back\n";
        for (host, user, wanted) in [
            ("smtp.x.org", "me", Some("se cr#et")),
            ("smtp.x.org", "you", Some("no")),
            ("any.org", "whoever", Some("all")),
            ("unknown.org", "me", Some("fallen-back")),
            ("unknown.org", "you", None),
        ] {
            assert_eq!(find(text, host, user), wanted, "{host} {user}");
        }
        assert_eq!(find("machine", "x", "y"), None);
        assert_eq!(find("machine x login y password", "x", "y"), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrc");
        fs::write(&path, "machine x.org login me password secret\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look_up(&path, "x.org", "me").unwrap().expose(), b"secret");
        let error = look_up(&path, "y.org", "me").unwrap_err();
        assert_eq!(error.cause, format!("netrc {}: no password for me at y.org", path.display()));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = look_up(&path, "x.org", "me").unwrap_err();
        assert_eq!(error.cause, format!("netrc {}: open to others (mode 0644)", path.display()));
    }
}

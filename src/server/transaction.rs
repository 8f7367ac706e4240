//! A mail transaction as MAIL and RCPT give it: paths and their parameters (RFC 5321 section 4.1.2, RFC 1870, 3461,
//! 6152, 6531). Bare names are taken, `root` as well as `root@host`: whose they are is for `route`.

use super::command::Refusal;
use super::xtext;
use crate::mail::address::{Addressee, parse_sender};
use crate::mail::envelope::{Notify, Return};

/// Who a message comes from and who it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// `None` for the null reverse-path `<>`.
    pub reverse_path: Option<Addressee>,
    /// In the order of the RCPT commands, as often as they came; at least one when a message begins.
    pub recipients: Vec<Forward>,
    /// RET.
    pub ret: Option<Return>,
    /// ENVID, not xtext any more: printable ASCII.
    pub envid: Option<String>,
    pub wishes: Wishes,
}

/// Options of our own client that SMTP has no word for, as parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// XACCOUNT: through this account (`-a`).
    pub account: Option<String>,
    /// XNAME: the full name for a From field that has to be made (`-F`).
    pub full_name: Option<String>,
    /// XUNSAID: nobody said who sends (no `-f`); the path is only the caller's name.
    pub unsaid: bool,
    /// XKEEP: bare names in header fields stay as they are (`-G`).
    pub keep_bare_names: bool,
    /// XLITERAL: no aliases (`-n`).
    pub no_aliases: bool,
}

/// One forward-path and what was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub addressee: Addressee,
    pub notify: Option<Notify>,
    /// ORCPT as `type;address`, the address not xtext any more.
    pub original: Option<String>,
}

impl Transaction {
    /// Reads the arguments of MAIL: `FROM:<path> parameters`.
    pub(super) fn parse(arguments: &str, max_size: Option<u64>) -> Result<Transaction, Refusal> {
        let syntax = "syntax: MAIL FROM:<address> [parameters]";
        let (path, parameters) = path(arguments, "FROM:", syntax)?;
        let reverse_path = parse_sender(path.as_bytes())
            .map_err(|error| Refusal::new(501, "5.1.7", format!("sender address: {}", error.reason)))?;
        let mut transaction =
            Transaction { reverse_path, recipients: Vec::new(), ret: None, envid: None, wishes: Wishes::default() };
        for parameter in split(parameters)? {
            match (parameter.name.as_str(), parameter.value) {
                ("SIZE", Some(size)) => check_size(size, max_size)?,
                ("BODY", Some(body)) if is_body_type(body) => {}
                ("SMTPUTF8", None) => {}
                ("RET", Some(text)) => transaction.ret = Some(Return::parse(text).ok_or_else(|| parameter.bad())?),
                ("ENVID", Some(text)) => {
                    let id = xtext::decode(text).filter(|id| !id.is_empty() && text.len() <= LONGEST_ENVID);
                    transaction.envid = Some(id.ok_or_else(|| parameter.bad())?);
                }
                ("XACCOUNT", Some(name)) => {
                    transaction.wishes.account = Some(xtext::decode(name).ok_or_else(|| parameter.bad())?);
                }
                ("XNAME", name) => {
                    let name = xtext::decode_text(name.unwrap_or_default());
                    transaction.wishes.full_name = Some(name.ok_or_else(|| parameter.bad())?);
                }
                ("XUNSAID", None) => transaction.wishes.unsaid = true,
                ("XKEEP", None) => transaction.wishes.keep_bare_names = true,
                ("XLITERAL", None) => transaction.wishes.no_aliases = true,
                ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID", _) => return Err(parameter.bad()),
                _ => return Err(parameter.unknown()),
            }
        }
        Ok(transaction)
    }
}

impl Forward {
    /// Reads the arguments of RCPT: `TO:<path> parameters`.
    pub(super) fn parse(arguments: &str) -> Result<Forward, Refusal> {
        let syntax = "syntax: RCPT TO:<address> [parameters]";
        let (path, parameters) = path(arguments, "TO:", syntax)?;
        let refusal = |reason| Refusal::new(501, "5.1.3", format!("recipient address: {reason}"));
        let addressee = parse_sender(path.as_bytes()).map_err(|error| refusal(error.reason))?;
        let addressee = addressee.ok_or_else(|| refusal("no address in it"))?;
        let mut forward = Forward { addressee, notify: None, original: None };
        for parameter in split(parameters)? {
            match (parameter.name.as_str(), parameter.value) {
                ("NOTIFY", Some(text)) => forward.notify = Some(Notify::parse(text).ok_or_else(|| parameter.bad())?),
                ("ORCPT", Some(text)) => forward.original = Some(original(text).ok_or_else(|| parameter.bad())?),
                ("NOTIFY" | "ORCPT", _) => return Err(parameter.bad()),
                _ => return Err(parameter.unknown()),
            }
        }
        Ok(forward)
    }
}

/// The longest ENVID and ORCPT, in octets of xtext (RFC 3461 section 4.2, 4.4).
const LONGEST_ENVID: usize = 100;
const LONGEST_ORCPT: usize = 500;

fn check_size(size: &str, max: Option<u64>) -> Result<(), Refusal> {
    if size.is_empty() || size.len() > 20 || !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::arguments("SIZE is a number of octets"));
    }
    // Twenty digits may be more than a u64 holds, which is too much in any case.
    let size = size.parse().unwrap_or(u64::MAX);
    if max.is_some_and(|max| size > max) { Err(too_big(max)) } else { Ok(()) }
}

/// The message is larger than is taken here.
pub(super) fn too_big(max: Option<u64>) -> Refusal {
    Refusal::new(552, "5.3.4", format!("message over {} octets", max.unwrap_or(u64::MAX)))
}

fn is_body_type(value: &str) -> bool {
    value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME")
}

fn original(text: &str) -> Option<String> {
    let (kind, address) = text.split_once(';')?;
    let sound = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let address = xtext::decode(address).filter(|address| !address.is_empty() && text.len() <= LONGEST_ORCPT)?;
    sound.then(|| format!("{kind};{address}"))
}

/// Cuts `FROM:<path> parameters` into path, with its angle brackets, and parameters. Blanks behind the colon and
/// missing angle brackets are tolerated, as every sendmail does.
fn path<'a>(arguments: &'a str, keyword: &str, syntax: &'static str) -> Result<(&'a str, &'a str), Refusal> {
    let wrong = || Refusal::arguments(syntax);
    let start = arguments.get(..keyword.len()).filter(|start| start.eq_ignore_ascii_case(keyword)).ok_or_else(wrong)?;
    let rest = arguments[start.len()..].trim_start();
    let end = path_end(rest).filter(|&end| end > 0).ok_or_else(wrong)?;
    let (path, parameters) = rest.split_at(end);
    if !parameters.is_empty() && !parameters.starts_with([' ', '\t']) {
        return Err(wrong());
    }
    Ok((path, parameters))
}

/// Where the path ends: behind the `>` that is outside quotes, or at the first blank outside quotes.
fn path_end(text: &str) -> Option<usize> {
    let angle = text.starts_with('<');
    let mut quoted = false;
    let mut octets = text.bytes().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' if quoted => drop(octets.next()),
            b'"' => quoted = !quoted,
            b'>' if angle && !quoted => return Some(at + 1),
            b' ' | b'\t' if !angle && !quoted => return Some(at),
            _ => {}
        }
    }
    (!angle && !quoted).then_some(text.len())
}

/// A parameter of MAIL or RCPT, its name in upper case.
struct Parameter<'a> {
    name: String,
    value: Option<&'a str>,
}

impl Parameter<'_> {
    fn bad(&self) -> Refusal {
        Refusal::arguments(format!("bad value of {}", self.name))
    }

    fn unknown(&self) -> Refusal {
        Refusal::new(555, "5.5.4", format!("unknown parameter {}", self.name))
    }
}

/// The parameters, none twice.
fn split(text: &str) -> Result<Vec<Parameter<'_>>, Refusal> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let name = name.to_ascii_uppercase();
        if parameters.iter().any(|other| other.name == name) {
            return Err(Refusal::arguments(format!("{name} stands twice")));
        }
        parameters.push(Parameter { name, value });
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reverse_path_is_read_as_programs_write_it() {
        let cases = [
            ("FROM:<a@x.org>", Some("a@x.org")),
            ("from: <a@x.org>", Some("a@x.org")),
            ("FROM:a@x.org SIZE=3", Some("a@x.org")),
            ("FROM:<>", None),
            ("FROM:<> SIZE=3", None),
            ("FROM:<tester>", Some("tester")),
            ("FROM:<@a,@b:c@x.org>", Some("c@x.org")),
            ("FROM:<\"a> b\"@x.org> SIZE=3", Some("\"a> b\"@x.org")),
            ("FROM:<\"a\\\">b\"@x.org>", Some("\"a\\\">b\"@x.org")),
            ("FROM:<jörg@exämple.org> SMTPUTF8", Some("jörg@exämple.org")),
        ];
        for (arguments, expected) in cases {
            let transaction = Transaction::parse(arguments, None).unwrap();
            assert_eq!(transaction.reverse_path.map(|a| a.to_string()).as_deref(), expected, "{arguments}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for arguments in [
            "",
            "FROM",
            "FROM:",
            "TO:<a@x>",
            "FROM:<a@x",
            "FROM:<a@x>SIZE=3",
            "FROM:<\"a@x>",
            "FROM:<a@x,b@x>",
            "FÖM:<a>",
        ] {
            let refusal = Transaction::parse(arguments, None).unwrap_err().to_string();
            assert!(refusal.starts_with("501 5."), "{arguments}: {refusal}");
        }
        assert!(Forward::parse("TO:<>").unwrap_err().to_string().starts_with("501 5.1.3 "));
    }

    #[test]
    fn parameters_are_read_or_refused() {
        let good = "FROM:<a@x> size=100 body=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B1";
        let transaction = Transaction::parse(good, Some(100)).unwrap();
        assert_eq!((transaction.ret, transaction.envid.as_deref()), (Some(Return::Headers), Some("QQ+1")));
        let long = format!("ENVID={}", "x".repeat(101));
        let cases = [
            ("SIZE=101", "552 5.3.4"),
            ("SIZE=99999999999999999999", "552 5.3.4"),
            ("SIZE=", "501 5.5.4"),
            ("SIZE=-1", "501 5.5.4"),
            ("SIZE", "501 5.5.4"),
            ("SIZE=1 SIZE=1", "501 5.5.4"),
            ("BODY=BINARYMIME", "501 5.5.4"),
            ("SMTPUTF8=1", "501 5.5.4"),
            ("RET=some", "501 5.5.4"),
            ("ENVID=", "501 5.5.4"),
            ("ENVID=a+4", "501 5.5.4"),
            (long.as_str(), "501 5.5.4"),
            ("FOO=BAR", "555 5.5.4"),
            ("AUTH=<>", "555 5.5.4"),
            ("NOTIFY=NEVER", "555 5.5.4"),
        ];
        for (parameters, expected) in cases {
            let refusal = Transaction::parse(&format!("FROM:<a@x> {parameters}"), Some(100)).unwrap_err().to_string();
            assert!(refusal.starts_with(expected), "{parameters}: {refusal}");
        }
    }

    #[test]
    fn a_forward_path_keeps_what_was_asked_for_it() {
        let forward = Forward::parse("TO:<root> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40x+2Borg").unwrap();
        assert_eq!(forward.addressee, Addressee::Local("root".into()));
        assert_eq!(forward.notify.unwrap().to_string(), "SUCCESS,DELAY");
        assert_eq!(forward.original.as_deref(), Some("rfc822;Bob@x+org"));
        for parameters in
            ["NOTIFY=NEVER,SUCCESS", "NOTIFY", "ORCPT=bob@x", "ORCPT=;x", "ORCPT=rfc822;", "ORCPT=rfc822;a=b"]
        {
            let refusal = Forward::parse(&format!("TO:<a@x> {parameters}")).unwrap_err().to_string();
            assert!(refusal.starts_with("501 5.5.4"), "{parameters}: {refusal}");
        }
        assert!(Forward::parse("TO:<a@x> FOO").unwrap_err().to_string().starts_with("555 5.5.4"));
    }
}

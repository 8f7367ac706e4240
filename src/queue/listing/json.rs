//! The queue as JSON (RFC 8259): `mailchute queue list --json`. Also the few lines that write any JSON; a crate for
//! that would be mostly about reading it.

use super::{Row, Standing};
use std::fmt::{self, Write as _};
use std::io::{self, Write};

/// Writes the array, one message a line.
pub fn list(rows: impl Iterator<Item = Row>, output: &mut dyn Write) -> io::Result<()> {
    write!(output, "[")?;
    for (number, row) in rows.enumerate() {
        write!(output, "{}\n{}", if number == 0 { "" } else { "," }, object(&row))?;
        if number == 0 {
            output.flush()?;
        }
    }
    writeln!(output, "\n]")?;
    output.flush()
}

/// One message as an object.
pub fn object(row: &Row) -> Value {
    let (state, held_by) = match row.standing {
        Standing::Queued | Standing::Active => ("queued", None),
        Standing::AccountHeld => ("held", Some("account")),
        Standing::UserHeld => ("held", Some("user")),
        Standing::Dead => ("dead", None),
    };
    let recipients = row.recipients.iter().map(|line| {
        let reply = (!line.reply.is_empty()).then_some(line.reply.as_str());
        Value::Object(vec![
            ("address", Value::text(&line.address)),
            ("status", Value::text(line.status())),
            ("reply", Value::optional(reply)),
        ])
    });
    Value::Object(vec![
        ("id", Value::text(&row.id)),
        ("state", Value::text(state)),
        ("held_by", Value::optional(held_by)),
        ("account", Value::optional(row.account.as_deref())),
        ("reverse_path", Value::text(&row.reverse_path)),
        ("recipients", Value::List(recipients.collect())),
        ("size", Value::Number(row.size)),
        ("created", Value::text(&row.created.rfc3339())),
        ("attempts", Value::Number(row.attempts.into())),
        ("next_attempt", Value::optional(row.next_attempt.map(|next| next.rfc3339()).as_deref())),
        ("reason", Value::optional(row.reason.as_deref())),
    ])
}

/// A JSON value; Display writes it on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.to_string())
    }

    /// `null` for `None`.
    pub fn optional(text: Option<&str>) -> Value {
        text.map_or(Value::Null, Value::text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => string(f, text),
            Value::List(values) => {
                f.write_char('[')?;
                for (number, value) in values.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { ", " })?;
                    value.fmt(f)?;
                }
                f.write_char(']')
            }
            Value::Object(members) => {
                f.write_char('{')?;
                for (number, (name, value)) in members.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { ", " })?;
                    string(f, name)?;
                    f.write_str(": ")?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

/// Escapes what must be, and what moves a terminal's cursor or reverses its text.
fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(f, "\\u{:04x}", u32::from(c))?;
            }
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_string_is_escaped() {
        let cases = [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\r\t\0\u{1b}\u{7f}", r#""\n\r\t\u0000\u001b\u007f""#),
            ("é 😀", "\"é 😀\""),
            ("\u{2028}\u{202e}", r#""\u2028\u202e""#),
        ];
        for (text, written) in cases {
            assert_eq!(Value::text(text).to_string(), written);
        }
    }

    #[test]
    fn a_message_is_an_object_on_one_line() {
        let mut output = Vec::new();
        let dead = Row {
            standing: Standing::Dead,
            recipients: Vec::new(),
            account: None,
            next_attempt: None,
            reason: None,
            ..sample("B")
        };
        list([sample("A"), dead].into_iter(), &mut output).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "[\n\
             {\"id\": \"A\", \"state\": \"queued\", \"held_by\": null, \"account\": \"gmail\", \
             \"reverse_path\": \"tester@lab.example.net\", \"recipients\": [\
             {\"address\": \"ann@example.org\", \"status\": \"accepted\", \"reply\": \"250 2.0.0 OK\"}, \
             {\"address\": \"bob@example.org\", \"status\": \"deferred\", \
             \"reply\": \"connect to 127.0.0.1[127.0.0.1]:25250: Connection refused\"}], \
             \"size\": 283, \"created\": \"2026-11-24T14:04:05Z\", \"attempts\": 2, \
             \"next_attempt\": \"2026-11-24T14:06:05Z\", \
             \"reason\": \"connect to 127.0.0.1[127.0.0.1]:25250: Connection refused\"},\n\
             {\"id\": \"B\", \"state\": \"dead\", \"held_by\": null, \"account\": null, \
             \"reverse_path\": \"tester@lab.example.net\", \"recipients\": [], \"size\": 283, \
             \"created\": \"2026-11-24T14:04:05Z\", \"attempts\": 2, \"next_attempt\": null, \"reason\": null}\n\
             ]\n"
        );
    }

    #[test]
    fn an_empty_queue_is_an_empty_array() {
        let mut output = Vec::new();
        list(std::iter::empty(), &mut output).unwrap();
        assert_eq!(output, b"[\n]\n");
    }
}

//! Where a header line may be broken (RFC 5322 section 2.2.3): before a blank where there is one, else behind a comma,
//! so that a list of addresses stays that list; never so that a blank line or a cut character comes of it.

use super::{LONGEST_LINE, is_blank};

/// Where new fields are folded, in octets without CRLF (RFC 5322 section 2.1.1).
const WISHED_LINE: usize = 78;

/// Folds a new field of one line at blanks, so that lines are short where they can be. Of many blanks at a fold one
/// is kept.
pub fn fold_soft(line: &[u8], name: usize) -> Vec<u8> {
    let mut lines = Vec::with_capacity(line.len() + 16);
    let mut rest = line;
    // Nothing but the name on the first line would be legal, and ugly.
    let mut least = name + 2;
    while rest.len() > WISHED_LINE {
        let later = || (WISHED_LINE..rest.len()).find(|&at| is_break(rest[at]));
        let Some(cut) = last_break(rest, least, WISHED_LINE).or_else(later) else { break };
        fold_hard(rest[..cut].trim_ascii_end(), least, &mut lines);
        let blanks = rest[cut..].iter().take_while(|&&byte| is_break(byte)).count();
        rest = &rest[cut + blanks - 1..];
        least = 1;
    }
    fold_hard(rest, least, &mut lines);
    lines
}

/// Appends a line with its CRLF; when it is over 998 octets, broken at its last blank before that, or, when there is
/// none behind its first `least` octets, behind its last comma, or anywhere. Bare CRs become blanks.
pub fn fold_hard(line: &[u8], least: usize, lines: &mut Vec<u8>) {
    let mut rest = line;
    let mut lead: &[u8] = b"";
    let mut least = least;
    while lead.len() + rest.len() > LONGEST_LINE {
        let room = LONGEST_LINE - lead.len();
        let (cut, next_lead): (usize, &[u8]) = match last_break(rest, least, room) {
            Some(cut) => (cut, b""),
            None => (last_comma(rest, least, room).unwrap_or_else(|| whole_characters(rest, room)), b" "),
        };
        append(lead, &rest[..cut], lines);
        rest = &rest[cut..];
        lead = next_lead;
        least = 1;
    }
    append(lead, rest, lines);
}

/// A piece of nothing but blanks is dropped.
fn append(lead: &[u8], piece: &[u8], lines: &mut Vec<u8>) {
    if !is_blank(piece) {
        lines.extend_from_slice(lead);
        lines.extend(piece.iter().map(|&byte| if matches!(byte, b'\r' | b'\n' | b'\0') { b' ' } else { byte }));
        lines.extend_from_slice(b"\r\n");
    }
}

/// The last blank in `line[least..=most]` with something that is no blank before it.
fn last_break(line: &[u8], least: usize, most: usize) -> Option<usize> {
    let start = line.iter().take(most).position(|&byte| !is_break(byte))?.max(least);
    let window = line.get(start..=most.min(line.len() - 1))?;
    window.iter().rposition(|&byte| is_break(byte)).map(|at| start + at)
}

/// Behind the last comma in `line[least..most]`.
fn last_comma(line: &[u8], least: usize, most: usize) -> Option<usize> {
    let window = line.get(least..most)?;
    window.iter().rposition(|&byte| byte == b',').map(|at| least + at + 1)
}

fn is_break(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The longest start of `line` within `room` octets that cuts no UTF-8 character.
fn whole_characters(line: &[u8], room: usize) -> usize {
    let starts = |at: &usize| line.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (room - 3..=room).rev().find(starts).unwrap_or(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(line: &str) -> Vec<String> {
        let mut lines = Vec::new();
        fold_hard(line.as_bytes(), 3, &mut lines);
        let text = String::from_utf8(lines).unwrap();
        assert!(text.ends_with("\r\n"), "{text:?}");
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_line_of_998_octets_stays() {
        let line = format!("X: {}", "a ".repeat(498))[..998].to_owned();
        assert_eq!(hard(&line), [line]);
    }

    #[test]
    fn a_longer_line_breaks_at_its_last_blank() {
        let (a, b) = ("a".repeat(900), "b".repeat(900));
        assert_eq!(hard(&format!("X: {a} {b}")), [format!("X: {a}"), format!(" {b}")]);
        assert_eq!(hard(&format!("X: {a}\t\t{b}")), [format!("X: {a}\t"), format!("\t{b}")]);
        assert_eq!(hard(&format!(" {a} {b}")), [format!(" {a}"), format!(" {b}")]);
    }

    #[test]
    fn a_longer_word_breaks_between_characters() {
        assert_eq!(
            hard(&format!("X: {}", "a".repeat(1100))),
            [format!("X: {}", "a".repeat(995)), format!(" {}", "a".repeat(105))]
        );
        assert_eq!(
            hard(&format!("X: {}", "é".repeat(600))),
            [format!("X: {}", "é".repeat(497)), format!(" {}", "é".repeat(103))]
        );
    }

    #[test]
    fn a_longer_list_without_blanks_breaks_behind_a_comma() {
        let list = format!("X:{}", "bob@example.org,".repeat(70));
        let lines = hard(&list);
        assert!(lines.iter().all(|line| line.len() <= 998 && line.ends_with("bob@example.org,")), "{lines:?}");
        assert_eq!(lines.join("").replace(' ', ""), list);
    }

    #[test]
    fn no_blank_line_comes_of_blanks() {
        for blanks in [996, 999, 2000, 5000] {
            for line in [
                format!("X: {}", " ".repeat(blanks)),
                format!("X: a{}b", " ".repeat(blanks)),
                format!("{}b", " ".repeat(blanks)),
            ] {
                let lines = hard(&line);
                assert!(lines.iter().all(|line| line.len() <= 998 && !line.trim().is_empty()), "{lines:?}");
            }
        }
    }
}

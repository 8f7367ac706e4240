//! Command lines that real callers write, and what they are taken for.

use super::*;
use crate::diagnostic::{Explain, render};
use crate::exit::Exit;
use std::os::unix::ffi::OsStringExt;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(|word| OsString::from(if word == "''" { "" } else { word })).collect()
}

fn asked(line: &str) -> Result<Invocation, UsageError> {
    parse("sendmail", &words(line), Start::At(Task::Deliver))
}

fn delivering(line: &str) -> Delivering {
    match asked(line) {
        Ok(Invocation::Deliver(delivering)) => delivering,
        other => panic!("{line}: {other:?}"),
    }
}

fn plain(recipients: &[&str]) -> Delivering {
    let recipients = recipients.iter().map(|&text| text.to_owned()).collect();
    Delivering { recipients, ..Asked::new(Start::At(Task::Deliver)).delivering }
}

#[test]
fn what_is_accepted_and_ignored_changes_nothing() {
    let ignored = "-h5 -h_5 -h_x -h_99 -B8BITMIME -B_7BIT -B_8bitmime -Bbinarymime -d0.1 -d -X_/tmp/xlog -XV -L_tag \
                   -Ltag -O_NoSuchOption=1 -p_esmtp:host -pUUCP -m -om -U -Ac -Am -A_x -oQ/tmp/q -o7 -o8 -oo -os \
                   -ov -oA/etc/aliases -oL9 -oT3d -oMrlocal -oX9 -or5m -x -c -bm -b_m -O_TimeOut.queuereturn=5d";
    for option in ignored.split_whitespace() {
        let line = format!("{} bob@example.org", option.replace('_', " "));
        assert_eq!(delivering(&line), plain(&["bob@example.org"]), "{line}");
    }
}

#[test]
fn what_is_honoured_is_read_in_every_form() {
    let base = || plain(&["b@x"]);
    let sender = |text: &str| Delivering { sender: Some(text.into()), ..base() };
    let dots = || Delivering { dots: Dots::Keep, ..base() };
    let header = || Delivering { from_header: true, ..base() };
    let errors = |errors| Delivering { errors, ..base() };
    let mode = |mode| Delivering { delivery: Some(mode), ..base() };
    let cases = [
        (
            vec!["-i", "-oi", "-o i", "-oitrue", "-O IgnoreDots", "-OIgnoreDots=True", "-O ignoredots=y", "-oif -i"],
            dots(),
        ),
        (vec!["-oifalse", "-i -oin", "-i -OIgnoreDots=false"], base()),
        (vec!["-ti", "-it", "-toi", "-t -i -oi", "-t -t -i", "-toitrue"], Delivering { dots: Dots::Keep, ..header() }),
        (vec!["-f s@x", "-fs@x", "-r s@x", "-rs@x", "-f a@x -f s@x", "-f a@x -r s@x"], sender("s@x")),
        (vec!["-f ''", "-r ''"], sender("")),
        (vec!["-f<>", "-f <>"], sender("<>")),
        (vec!["-f=s@x"], sender("=s@x")),
        (vec!["-f -t"], sender("-t")),
        (vec!["-tf s@x"], Delivering { sender: Some("s@x".into()), ..header() }),
        (vec!["-FCronDaemon", "-F CronDaemon"], Delivering { full_name: Some("CronDaemon".into()), ..base() }),
        (vec!["-F ''"], Delivering { full_name: Some(String::new()), ..base() }),
        (vec!["-oem", "-em", "-e m", "-ew", "-oew", "-O ErrorMode=m", "-OErrorMode=mail"], errors(ErrorMode::Mail)),
        (vec!["-oee", "-ee"], errors(ErrorMode::MailOnly)),
        (vec!["-oeq", "-eq", "-o eq"], errors(ErrorMode::Quiet)),
        (vec!["-oep", "-ep", "-oeq -oep", "-oe"], base()),
        (vec!["-odi", "-odf", "-O DeliveryMode=i", "-ODeliveryMode=interactive"], mode(DeliveryMode::Foreground)),
        (vec!["-odb", "-ODeliveryMode=b", "-ODeliveryMode=background"], mode(DeliveryMode::Background)),
        (vec!["-odq", "-odd", "-O DeliveryMode=q"], mode(DeliveryMode::Queue)),
        (vec!["-G"], Delivering { keep_bare_names: true, ..base() }),
        (vec!["-n"], Delivering { no_aliases: true, ..base() }),
        (vec!["-N never", "-Nnever", "-N NEVER"], Delivering { notify: Some(Notify::NEVER), ..base() }),
        (
            vec!["-N success,delay", "-NDelay,Success"],
            Delivering { notify: Some(Notify { success: true, failure: false, delay: true }), ..base() },
        ),
        (vec!["-R full", "-RFULL"], Delivering { ret: Some(Return::Full), ..base() }),
        (vec!["-R hdrs", "-Rhdrs"], Delivering { ret: Some(Return::Headers), ..base() }),
        (vec!["-V env-id-1", "-Venv-id-1"], Delivering { envid: Some("env-id-1".into()), ..base() }),
        (vec!["-V+="], Delivering { envid: Some("+=".into()), ..base() }),
    ];
    for (lines, expected) in cases {
        for line in lines {
            assert_eq!(delivering(&format!("{line} b@x")), expected, "{line}");
        }
    }
}

#[test]
fn account_and_config_are_read_in_every_form() {
    let global = Global { config: Some("/x".into()), account: Some("work".into()), verbose: Verbosity::Quiet };
    for line in ["-a work -C /x", "-awork -C/x", "--account work --config /x", "--account=work --config=/x"] {
        assert_eq!(delivering(&format!("{line} b@x")).global, global, "{line}");
        assert_eq!(asked(&format!("{line} -bp")), Ok(Invocation::ListQueue(global.clone())), "{line}");
    }
}

#[test]
fn options_end_at_the_first_operand_or_at_two_dashes() {
    assert_eq!(delivering("-i -- -dash@example.org b@x").recipients, ["-dash@example.org", "b@x"]);
    assert_eq!(delivering("-t --").recipients, [""; 0]);
    assert_eq!(delivering("-d 1 b@x").recipients, ["1", "b@x"]);
    assert_eq!(delivering("-oMa 1.2.3.4 b@x").recipients, ["1.2.3.4", "b@x"]);
    assert_eq!(delivering("-- -- b@x").recipients, ["--", "b@x"]);
    for line in ["b@x -i", "b@x -X/tmp/x", "b@x --", "b@x -- -i"] {
        let error = asked(line).unwrap_err();
        assert!(matches!(error, UsageError::LateOption(_)), "{line}: {error:?}");
    }
    assert_eq!(asked("-i -"), Err(UsageError::LoneDash));
    assert_eq!(asked("-- -"), Err(UsageError::LoneDash));
}

#[test]
fn a_line_that_cannot_be_meant_sends_nothing() {
    let cases = [
        "-Z b@x",
        "-1 b@x",
        "-z b@x",
        "-W b@x",
        "-s subject b@x",
        "-S b@x",
        "-T b@x",
        "-Qfoo b@x",
        "-Mxfoo b@x",
        "-E b@x",
        "-J b@x",
        "-P b@x",
        "-D /tmp/dlog b@x",
        "-ti -f",
        "-N",
        "-V",
        "-o",
        "--account",
        "--frob b@x",
        "-bt b@x",
        "-bd",
        "-bD",
        "-bl",
        "-bd -q30m",
        "-ba",
        "-bP",
        "-bC",
        "-bz b@x",
        "-bx b@x",
        "-bmm b@x",
        "-b",
        "-bs b@x",
        "-q b@x",
        "-q15x b@x",
        "-qx",
        "-qGa",
        "-qQ",
        "-qL",
        "-q!Ia",
        "-qI",
        "-Va\u{1}b b@x",
        "-Vé b@x",
        "-V '' b@x",
        "--help b@x",
        "-t --version",
        "-i",
        "-bv",
        "--",
        "-q 15m b@x",
        "-q 15q",
    ];
    for line in cases {
        let error = asked(line).expect_err(line);
        assert_eq!(error.exit(), Exit::Usage, "{line}: {error}");
        assert!(render(&error).starts_with("mailchute: "), "{line}");
    }
    let long = "x".repeat(101);
    assert!(asked(&format!("-V {long} b@x")).is_err());
}

#[test]
fn modes_are_what_they_say() {
    let global = Global::default();
    let watching = Global { verbose: Verbosity::Dialogue, ..Global::default() };
    let flush = |selection| Invocation::Flush(selection, Global::default());
    let cases = [
        ("-bp", Invocation::ListQueue(global.clone())),
        ("-bp b@x", Invocation::ListQueue(global.clone())),
        ("-v -bp", Invocation::ListQueue(watching.clone())),
        ("-bi", Invocation::NewAliases(global.clone())),
        ("-I", Invocation::NewAliases(global)),
        ("-bh", Invocation::Nothing),
        ("-bH", Invocation::Nothing),
        ("-q", flush(Selection::All)),
        ("-q30m", flush(Selection::All)),
        ("-q1h30m", flush(Selection::All)),
        ("-q15", flush(Selection::All)),
        ("-qp30m", flush(Selection::All)),
        ("-qf", flush(Selection::All)),
        ("-q 15m", flush(Selection::All)),
        ("-q 15m -v", Invocation::Flush(Selection::All, watching.clone())),
        ("-vq", Invocation::Flush(Selection::All, watching)),
        ("-qIabc", flush(Selection::Id("abc".into()))),
        ("-qI abc", flush(Selection::Id("abc".into()))),
        ("-qRexample.org", flush(Selection::Recipient("example.org".into()))),
        ("-qS me", flush(Selection::Sender("me".into()))),
        ("-bm -q", flush(Selection::All)),
    ];
    for (line, expected) in cases {
        assert_eq!(asked(line), Ok(expected), "{line}");
    }
    let Ok(Invocation::Smtp(smtp)) = asked("-bs -t -odb -oem") else { panic!() };
    let expected = Delivering { delivery: Some(DeliveryMode::Background), errors: ErrorMode::Mail, ..plain(&[]) };
    assert_eq!(smtp, expected);
    assert_eq!(asked("-bv b@x"), Ok(Invocation::Verify(plain(&["b@x"]))));
    assert!(matches!(asked("--help"), Ok(Invocation::Help(_))));
}

#[test]
fn who_watches_waits_unless_the_message_is_to_stay() {
    let cases = [
        ("-v", Some(DeliveryMode::Foreground)),
        ("-v -odb", Some(DeliveryMode::Foreground)),
        ("-odq -v", Some(DeliveryMode::Queue)),
        ("-odb", Some(DeliveryMode::Background)),
        ("-i", None),
    ];
    for (line, expected) in cases {
        assert_eq!(delivering(&format!("{line} b@x")).delivery, expected, "{line}");
    }
}

#[test]
fn what_means_nothing_is_warned_of_and_ignored() {
    let cases = [
        ("-B bogus", "-B bogus: neither 7BIT nor 8BITMIME; ignored"),
        ("-N bogus", "-N bogus: not never, nor success, failure and delay; ignored"),
        ("-N never,success", "-N never,success: not never, nor success, failure and delay; ignored"),
        ("-R bogus", "-R bogus: neither full nor hdrs; ignored"),
        ("-ex", "error mode x: not p, m, w, e or q; ignored"),
        ("-odx", "delivery mode x: not i, f, b, q or d; ignored"),
    ];
    for (line, warning) in cases {
        let expected = Delivering { warnings: vec![warning.to_owned()], ..plain(&["b@x"]) };
        assert_eq!(delivering(&format!("{line} b@x")), expected, "{line}");
    }
}

#[test]
fn no_control_byte_passes_in_an_address_and_none_stays_in_a_name() {
    for byte in (0..32).chain([127]) {
        let odd = OsString::from_vec(vec![b'a', byte, b'@', b'x']);
        for arguments in [vec![odd.clone()], vec!["-f".into(), odd.clone(), "b@x".into()]] {
            let error = parse("sendmail", &arguments, Start::At(Task::Deliver)).unwrap_err();
            assert_eq!(error.exit(), Exit::DataErr, "{byte:#x}");
        }
        let Ok(Invocation::Deliver(asked)) =
            parse("sendmail", &["-F".into(), odd, "b@x".into()], Start::At(Task::Deliver))
        else {
            panic!("{byte:#x}")
        };
        assert_eq!(asked.full_name.as_deref(), Some("a @x"));
    }
}

#[test]
fn bytes_that_are_no_text_are_no_address() {
    let latin = || OsString::from_vec(b"J\xf6rg".to_vec());
    for arguments in [vec![latin()], vec!["-f".into(), latin(), "b@x".into()]] {
        let error = parse("sendmail", &arguments, Start::At(Task::Deliver)).unwrap_err();
        assert_eq!(error.exit(), Exit::DataErr);
    }
}

#[test]
fn a_subject_option_is_answered_with_the_program_that_has_it() {
    let text = render(&asked("-s hello b@x").unwrap_err());
    assert_eq!(text, "mailchute: option -s: there is no -s; use mail(1) to give a subject\n");
}

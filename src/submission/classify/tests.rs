//! Replies as providers send them, and what is made of those that nobody has seen.

use super::*;

fn reply(text: &str) -> Reply {
    let lines = text.lines().map(|line| line[4..].to_owned()).collect();
    Reply { code: text[..3].parse().unwrap(), lines }
}

#[test]
fn replies_are_judged_as_the_providers_mean_them() {
    use Stage::*;
    use Verdict::*;
    let cases: &[(Stage, &str, Verdict, &str)] = &[
        (
            Auth,
            "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp",
            Account,
            "apppasswords",
        ),
        (
            Auth,
            "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp",
            Account,
            "2-Step",
        ),
        (
            Auth,
            "534-5.7.9 Please log in with your web browser and then try again. For more\n534-5.7.9 information, go to\n534 5.7.9  https://support.google.com/mail/?p=WebLoginRequired x - gsmtp",
            Account,
            "browser",
        ),
        (
            Auth,
            "534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1\n534 5.7.14  https://support.google.com/mail/answer/78754 x - gsmtp",
            Account,
            "browser",
        ),
        (Auth, "454 4.7.0 Too many login attempts, please try again later. x - gsmtp", Account, "wait"),
        (Auth, "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.", Transient, ""),
        (Auth, "454 4.7.0 something else", Account, ""),
        (Auth, "421 4.3.0 Temporary System Problem. Try again later.", Transient, ""),
        (Auth, "451 4.3.0 later", Transient, ""),
        (Auth, "501 5.5.2 Cannot Decode response", Account, ""),
        (
            Auth,
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
            Account,
            "Set-CASMailbox",
        ),
        (
            Auth,
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [x]",
            Account,
            "token-command",
        ),
        (Auth, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", Account, "wrong"),
        (Auth, "535 5.7.3 Authentication unsuccessful [x]", Account, "token"),
        (Auth, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", Account, "app password"),
        (Auth, "535 Authentication Credentials Invalid", Account, "region"),
        (Auth, "535 5.7.8 Error: authentication failed:", Account, "wrong"),
        (Auth, "432 4.7.12 A password transition is needed", Account, ""),
        (
            Mail,
            "530-5.7.0 Authentication Required. For more information, go to\n530 5.7.0  https://support.google.com/mail/?p=WantAuthError x - gsmtp",
            Account,
            "user",
        ),
        (Mail, "530 5.7.57 Client not authenticated to send mail", Account, "user"),
        (Mail, "550 5.7.30 Basic authentication is not supported for Client Submission.", Account, "token-command"),
        (Mail, "553 5.1.7 The sender address <root> is not a valid RFC 5321 address.", Message, "rewrite-from"),
        (Mail, "553 Mail from must equal authorized user", Message, "rewrite-from"),
        (Mail, "501 mail from address must be same as authorization user", Message, "rewrite-from"),
        (
            Mail,
            "552-5.3.4 Your message exceeded Google's message size limits. For more information,\n552 5.3.4 go to https://support.google.com/mail/?p=MaxSizeError x - gsmtp",
            Message,
            "25 MB",
        ),
        (Mail, "451 4.3.0 later", Transient, ""),
        (Mail, "503 5.5.1 EHLO/HELO first.", Transient, ""),
        (Rcpt, "553 5.7.1 <b@x>: Sender address rejected: not owned by user a@x", Message, "identities"),
        (Rcpt, "554 5.7.1 <b@x>: Relay access denied", Account, "user"),
        (Rcpt, "550 5.1.1 The email account that you tried to reach does not exist.", Message, ""),
        (Rcpt, "550 4.2.1 contradiction", Transient, ""),
        (
            Rcpt,
            "452-4.5.3 Your message has too many recipients. For more information regarding\n452-4.5.3 Google's sending limits, go to\n452 4.5.3  https://support.google.com/mail/?p=TooManyRecipientsError x - gsmtp",
            Split,
            "",
        ),
        (Rcpt, "452 4.2.2 The recipient's inbox is out of storage space", Transient, ""),
        (Rcpt, "452 too many recipients", Split, ""),
        (
            Data,
            "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n550-5.4.5 sending limits go to\n550 5.4.5  https://support.google.com/a/answer/166852 x - gsmtp",
            Account,
            "24 hours",
        ),
        (Data, "550 5.4.5 Daily sending quota exceeded. x - gsmtp", Account, "24 hours"),
        (Data, "551 5.7.1 Not authorised to send from this header address", Message, "identities"),
        (Data, "554 5.2.252 SendAsDenied; a@x not allowed to send as b@x", Message, "from"),
        (Data, "554 Message rejected: Email address is not verified.", Message, "verif"),
        (Data, "552 5.7.0 This message was blocked\n", Message, ""),
        (Data, "554 5.6.0 Mail message is malformed. Not accepted.", Message, ""),
        (Data, "421 4.7.28 unusual rate of mail", Transient, ""),
        (Data, "550 5.3.2 system not accepting network messages", Transient, ""),
        (Greeting, "554 no", Account, "server name"),
        (Greeting, "421 busy", Transient, ""),
        (Ehlo, "550 no", Account, "ehlo-name"),
        (Ehlo, "501 5.5.4 HELO/EHLO argument \"a_b\" invalid, closing connection.", Account, "ehlo-name"),
        (Ehlo, "421 4.7.0 Try again later, closing connection. (EHLO)", Transient, "ehlo-name"),
        (StartTls, "454 TLS not available", Transient, ""),
    ];
    for (stage, text, verdict, words) in cases {
        let explanation = classify(*stage, &reply(text));
        assert_eq!(explanation.verdict, *verdict, "{stage:?} {text}");
        let hint = explanation.hint.unwrap_or_default();
        assert!(hint.contains(words), "{stage:?} {text}: {hint:?} lacks {words:?}");
    }
}

#[test]
fn every_row_can_be_reached_and_says_where_it_comes_from() {
    let catalogue: Catalogue = toml::from_str(include_str!("../replies.toml")).unwrap();
    for (index, row) in catalogue.reply.iter().enumerate() {
        assert!(!row.source.is_empty() && !row.provider.is_empty());
        assert!(
            row.code.is_some() || row.enhanced.is_some() || row.token.is_some() || row.phrase.is_some(),
            "row {index} fits everything"
        );
        let stages =
            [Stage::Greeting, Stage::Ehlo, Stage::StartTls, Stage::Auth, Stage::Mail, Stage::Rcpt, Stage::Data];
        let stage = row.stage.as_deref().map_or(Stage::Data, |key| {
            *stages.iter().find(|stage| stage_key(**stage) == key).unwrap_or_else(|| panic!("no stage {key:?}"))
        });
        let mut text = row.enhanced.clone().unwrap_or_default();
        if let Some(phrase) = &row.phrase {
            assert_eq!(*phrase, phrase.to_lowercase());
            text = format!("{text} {phrase}");
        }
        if let Some(token) = &row.token {
            text = format!("{text} https://support.google.com/mail/?p={token} x");
        }
        let reply = Reply { code: row.code.unwrap_or(599), lines: vec![text.trim_start().to_owned()] };
        let lower = reply.text().to_lowercase();
        let first = catalogue.reply.iter().position(|row| row.fits(stage, &reply, &lower));
        assert_eq!(first, Some(index), "a row above hides {:?}", reply.to_string());
    }
}

#[test]
fn a_login_that_is_visibly_wrong_is_named() {
    let refused = reply("535 5.7.8 https://support.google.com/mail/?p=BadCredentials x");
    let mistake = |user, host| Login { user, host, app_password: false }.visible_mistake(&refused);
    assert_eq!(
        mistake("alice", "mail.x.org").as_deref(),
        Some("the user name \"alice\" has no domain; most providers want the full address")
    );
    for (user, host) in [("alice@gmial.com", "mail.x.org"), ("alice@x.org", "mail.x.org")] {
        assert_eq!(mistake(user, host), None, "{user} {host}");
    }
    let full = "the user name is the full address: set user = \"alice@gmail.com\"";
    assert_eq!(mistake("alice", "smtp.googlemail.com").as_deref(), Some(full));
    let other = "the password is not an App Password, which is 16 lower-case letters";
    assert_eq!(mistake("alice@gmx.com", "smtp.gmail.com").as_deref(), Some(other), "three letters off");
    assert_eq!(
        mistake("alice@gmal.om", "smtp.gmail.com").as_deref(),
        Some("the user name is probably alice@gmail.com")
    );
    let login = Login { user: "alice", host: "smtp.gmail.com", app_password: false };
    assert_eq!(login.visible_mistake(&reply("534 5.7.9 no")), None, "only what was refused for its credentials");
    assert_eq!(classify_login(&reply("535 no"), Login { user: "a@x.org", ..login }).verdict, Verdict::Account);
    let hint = |user, app_password| {
        let login = Login { user, host: "smtp.gmail.com", app_password };
        classify_login(&refused, login).hint.unwrap()
    };
    assert!(hint("alice", true).starts_with("the user name is the full address: set user = \"alice@gmail.com\""));
    assert!(hint("alice@gmial.com", true).starts_with("the user name is probably alice@gmail.com"));
    assert!(hint("alice@gmail.com", false).starts_with("the password is not an App Password"));
    assert!(hint("alice@gmail.com", true).starts_with("Gmail wants an App Password"));
}

#[test]
fn what_no_row_knows_is_judged_by_the_standards() {
    use Verdict::*;
    let cases = [
        (Stage::Data, 250, Transient),
        (Stage::Data, 354, Transient),
        (Stage::Data, 499, Transient),
        (Stage::Data, 500, Transient),
        (Stage::Data, 501, Message),
        (Stage::Mail, 502, Transient),
        (Stage::Mail, 503, Transient),
        (Stage::Rcpt, 504, Transient),
        (Stage::Rcpt, 505, Message),
        (Stage::Rcpt, 521, Transient),
        (Stage::Rcpt, 599, Message),
        (Stage::Auth, 499, Transient),
        (Stage::Auth, 500, Account),
        (Stage::StartTls, 599, Account),
    ];
    for (stage, code, verdict) in cases {
        let reply = Reply { code, lines: vec!["words of no row".into()] };
        assert_eq!(by_the_book(stage, &reply), verdict, "{stage:?} {code}");
    }
    let contradiction = Reply { code: 550, lines: vec!["4.2.1 x".into()] };
    assert_eq!(by_the_book(Stage::Data, &contradiction), Transient);
    assert_eq!(by_the_book(Stage::Auth, &contradiction), Account, "an account's fault is looked at by a person");
}

#[test]
fn a_word_is_whole() {
    for (text, word, whole) in [
        ("badcredentials x - gsmtp", "BadCredentials", true),
        ("badcredentials", "BadCredentials", true),
        ("badcredentials-x", "BadCredentials", false),
        ("badcredentialsx", "BadCredentials", false),
        ("bad credentials", "BadCredentials", false),
        ("", "BadCredentials", false),
    ] {
        assert_eq!(begins_with_word(text, word), whole, "{text}");
    }
}

#[test]
fn letters_to_change_are_counted() {
    for (a, b, letters) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "xabc", 1),
        ("ab", "ba", 1),
        ("xyab", "xyba", 1),
        ("abxy", "baxy", 1),
        ("abcd", "badc", 2),
        ("ab", "bxa", 3),
        ("aab", "aba", 1),
        ("kitten", "sitting", 3),
        ("smtp.gmail.com", "smtp.gmial.com", 1),
        ("abab", "baba", 2),
        ("aabb", "bbaa", 3),
    ] {
        assert_eq!((distance(a, b), distance(b, a)), (letters, letters), "{a} {b}");
    }
}

#[test]
fn a_mistyped_server_is_recognised() {
    let cases = [
        ("smtp-relay.gmail.com", None),
        ("GOOGLE.example", Some("smtp.gmail.com")),
        ("smtp.ofice365.cm", Some("smtp.office365.com")),
        ("smtp.ofice365.co", Some("smtp.office365.com")),
        ("smtp.ofice36.co", None),
        ("smtp.office365.com", None),
        ("smtp.gmial.com", Some("smtp.gmail.com")),
        ("mail.google.com", Some("smtp.gmail.com")),
        ("smtp.ofice365.com", Some("smtp.office365.com")),
        ("smtp.gmail.com", None),
        ("smtp.work.example", None),
    ];
    for (host, expected) in cases {
        assert_eq!(nearest_host(host), expected, "{host}");
    }
}

//! Whether this host knows what time it is: certificates are judged by it.

use super::super::context::Context;
use super::check::{Check, Group};
use crate::clock::Moment;
use crate::config::presets;
use crate::exit::Exit;
use std::time::Duration;

/// Compares the clock with what must lie behind it: the day the provider data was gathered, and the last change of the
/// configuration.
pub fn checks(context: &Context) -> Vec<Check> {
    let changed = context.config.file.as_deref().and_then(|file| {
        let time = std::fs::metadata(file).ok()?.modified().ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| Moment::from_seconds(since.as_secs()))
    });
    let gathered = presets::all().into_iter().map(|preset| preset.checked).max().unwrap_or_default();
    vec![judge(Moment::now(), &gathered, changed)]
}

/// A file's time may be a little ahead of a clock that has just been set.
const SLACK: Duration = Duration::from_secs(3600);

fn judge(now: Moment, gathered: &str, changed: Option<Moment>) -> Check {
    let shown = now.rfc3339();
    let behind = |what: String| {
        Check::bad(Group::Clock, "", &*shown, Exit::OsErr)
            .because(format!("the clock is wrong: {what}; certificates cannot be judged by it"))
            .fix("set it: timedatectl set-ntp true, or date --set")
    };
    if shown.as_str() < gathered {
        return behind(format!("this program was made after {gathered}"));
    }
    match changed {
        Some(changed) if changed > now.after(SLACK) => {
            behind(format!("the configuration was changed on {}", changed.rfc3339())).mild()
        }
        _ => Check::good(Group::Clock, "", shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_what_is_known_is_wrong() {
        let now = Moment::from_seconds(1_795_529_045);
        assert!(!judge(now, "2026-11-24", None).is_bad());
        assert!(judge(now, "2026-11-25", None).is_bad());
        assert_eq!(judge(now, "", Some(now)), Check::good(Group::Clock, "", "2026-11-24T14:04:05Z"));
        let changed = judge(now, "", Some(now.after(2 * SLACK)));
        assert_eq!(
            changed.cause.unwrap(),
            "the clock is wrong: the configuration was changed on 2026-11-24T16:04:05Z; certificates cannot be judged \
             by it"
        );
    }
}

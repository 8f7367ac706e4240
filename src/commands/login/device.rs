//! Permission by a code that a person types on another device (RFC 8628).

use crate::commands::Failed;
use crate::config::Url;
use crate::diagnostic::{Explain, printable};
use crate::exit::Exit;
use crate::http;
use crate::oauth::{Asker, Grant, OauthError, Polled, SLOWEST};
use crate::process;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// RFC 8628 section 3.5.
const SLOWER: Duration = Duration::from_secs(5);

/// Asks for a code, shows it, and asks until it has been typed.
///
/// # Errors
/// The provider has no such codes, the person says no, or nobody types it in time.
pub fn ask(asker: &Asker) -> Result<Grant, Failed> {
    let Some(device) = asker.device(&mut http::patience()) else { return Err(NoDevice.into()) };
    let device = device?;
    let address = Url::parse(&device.address).map_err(|problem| OauthError::Unavailable {
        server: asker.settings.token.authority(),
        words: format!("the address to open is {problem}"),
    })?;
    let (code, minutes) = (printable(&device.user_code), device.lifetime.as_secs().div_ceil(60));
    process::say(&format!("Open this address in any browser, and type the code {code}\n\n{address}\n\n"));
    process::say(&format!("Waiting {minutes} minutes for it\n"));
    let end = Instant::now() + device.lifetime;
    let mut interval = device.interval;
    while Instant::now() + interval < end {
        thread::sleep(interval);
        match asker.poll(&device, &mut http::patience()) {
            Ok(Polled::Done(grant)) => return Ok(grant),
            Ok(Polled::Pending) => {}
            Ok(Polled::SlowDown) => interval = (interval + SLOWER).min(SLOWEST),
            // A server that is out of reach is asked less and less often (RFC 8628 section 3.5).
            Err(error) if error.passes() => interval = (2 * interval).min(SLOWEST),
            Err(error) => return Err(error.into()),
        }
    }
    Err(OauthError::Unanswered.into())
}

/// The provider has no such codes.
#[derive(Debug)]
struct NoDevice;

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no device-url is known for this account")
    }
}

impl std::error::Error for NoDevice {}

impl Explain for NoDevice {
    fn exit(&self) -> Exit {
        Exit::Config
    }

    fn hints(&self) -> Vec<String> {
        vec!["leave out --device: a browser on another machine will do; Google gives mail no other way".into()]
    }
}

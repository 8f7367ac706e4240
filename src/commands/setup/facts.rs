//! What a preset or an offer knows: as much of an account as nobody need be asked for.

use super::autoconfig::{Login, Offer};
use super::lookup::Known;
use crate::config::Tls;
use crate::config::presets::{PasswordKind, Preset, UserForm};
use crate::mail::address::Mailbox;

/// The parts of an account, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub host: Option<String>,
    pub port: Port,
    pub user: User,
    /// A token is the only thing that works.
    pub wants_token: bool,
}

/// Where to connect at the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    Unknown,
    /// As the preset says.
    Preset,
    /// This one, which begins so when its number does not say it.
    At(u16, Option<&'static str>),
}

/// The login name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// There is no login.
    None,
    Is(String),
    /// To be asked for, with what it may be.
    Unknown(Option<String>),
}

impl Facts {
    /// What is known, as it holds for an address.
    pub fn of(known: &Known, address: &Mailbox) -> Facts {
        match known {
            Known::Preset(preset) => of_preset(preset, address),
            Known::Offer(offer) => of_offer(offer, address),
            Known::Nobody => Facts {
                host: None,
                port: Port::Unknown,
                user: User::Unknown(Some(address.to_string())),
                wants_token: false,
            },
        }
    }
}

fn of_preset(preset: &Preset, address: &Mailbox) -> Facts {
    let user = match &preset.user {
        _ if preset.password == PasswordKind::None => User::None,
        UserForm::Full => User::Is(address.to_string()),
        UserForm::Local => User::Is(address.local().to_owned()),
        UserForm::Fixed(name) => User::Is(name.clone()),
        UserForm::Any => User::Unknown(None),
    };
    let wants_token = preset.password == PasswordKind::Oauth;
    Facts { host: preset.host.clone(), port: Port::Preset, user, wants_token }
}

fn of_offer(offer: &Offer, address: &Mailbox) -> Facts {
    let tls = match (offer.port, offer.tls) {
        (587, Tls::Starttls) | (465, Tls::Implicit) => None,
        (_, Tls::Implicit) => Some("implicit"),
        (_, _) => Some("starttls"),
    };
    let user = match (offer.login, &offer.user) {
        (Login::Nothing, _) => User::None,
        (_, Some(name)) => User::Is(name.clone()),
        (_, None) => User::Unknown(Some(address.to_string())),
    };
    let wants_token = offer.login == Login::Token;
    Facts { host: Some(offer.host.clone()), port: Port::At(offer.port, tls), user, wants_token }
}

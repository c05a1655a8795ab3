//! Where NATS is and who asks it: what the URLs of its servers say.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use url::Url;

use super::options::OpenError;

/// The servers of `options.url`, and the one login for all of them and for those that they tell of.
pub(super) struct Address {
    pub servers: Vec<ServerAddr>,
    login: Option<Login>,
}

#[derive(Debug, PartialEq, Eq)]
enum Login {
    Password {
        user: String,
        password: String,
    },
    /// As NATS reads a name without a password.
    Token(String),
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let (mut servers, mut login) = (Vec::new(), None);
        for one in url.split(',').map(str::trim) {
            let wrong = |cause: String| OpenError::Unreachable { url: shown(one), cause };
            servers.push(one.parse().map_err(|error: std::io::Error| wrong(error.to_string()))?);
            let Some(found) = Url::parse(one).ok().as_ref().and_then(Login::of) else { continue };
            match &login {
                Some(first) if *first != found => return Err(OpenError::Logins),
                _ => login = Some(found),
            }
        }
        Ok(Self { servers, login })
    }

    /// The library leaves what a URL says of users alone.
    pub fn log_in(&self, connect: ConnectOptions) -> ConnectOptions {
        match &self.login {
            None => connect,
            Some(Login::Password { user, password }) => connect.user_and_password(user.clone(), password.clone()),
            Some(Login::Token(token)) => connect.token(token.clone()),
        }
    }
}

impl Login {
    fn of(url: &Url) -> Option<Self> {
        let plain = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match (url.username(), url.password()) {
            ("", None) => None,
            (token, None) => Some(Self::Token(plain(token))),
            (user, Some(password)) => Some(Self::Password { user: plain(user), password: plain(password) }),
        }
    }
}

/// The address without what it may hold of secrets.
pub(super) fn shown(url: &str) -> String {
    let shown = url.split(',').map(|one| match Url::parse(one.trim()) {
        Ok(mut url) if url.has_host() => {
            // Fails only where there is no host, and so no user.
            let _ = (url.set_password(None), url.set_username(""));
            url.to_string()
        }
        _ => one.rsplit('@').next().unwrap_or_default().to_owned(),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_what_any_of_the_urls_says() {
        let password =
            |user: &str, password: &str| Some(Login::Password { user: user.to_owned(), password: password.to_owned() });
        for (url, login) in [
            ("nats://a:4222", None),
            ("nats://ann:secret@a:4222", password("ann", "secret")),
            ("tls://ann:secret@a:4222, tls://ann:secret@b", password("ann", "secret")),
            ("nats://a, nats://ann:secret@b", password("ann", "secret")),
            ("nats://ann:p%40ss%2Fw%C3%B6rd@a", password("ann", "p@ss/wörd")),
            ("nats://to%2Dken@a", Some(Login::Token("to-ken".to_owned()))),
        ] {
            let Ok(address) = Address::parse(url) else { panic!("{url}") };
            assert_eq!((address.servers.len(), address.login), (url.split(',').count(), login), "{url}");
        }
        let two = Address::parse("nats://ann:one@a,nats://ann:two@b").err();
        assert!(matches!(two, Some(OpenError::Logins)), "{two:?}");
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for url in ["nats://ann:secret@a:4222", "tls://tok-secret@a:4222, nats://u:secret@b", "ann:secret@c:1"] {
            let shown = shown(url);
            assert!(!shown.contains("secret") && !shown.contains("ann"), "{shown}");
        }
    }
}

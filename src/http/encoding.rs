//! Content codings: which form of an embedded file a client takes (RFC 9110 §12.5.3).

use axum::http::{HeaderMap, header};

use super::routes::quality;

/// A form in which an embedded file is there. The last is preferred where the client likes several equally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    Plain,
    Gzip,
    Brotli,
}

impl Encoding {
    /// Chooses what the client likes best. What it forbids is never sent, but for the plain form, which is there for
    /// whoever takes nothing.
    pub fn choose(headers: &HeaderMap) -> Self {
        let wishes: Vec<(String, u16)> = headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|wish| {
                let (coding, parameters) = wish.split_once(';').unwrap_or((wish, ""));
                (coding.trim().to_ascii_lowercase(), quality(parameters))
            })
            .collect();
        let wished = |coding: &str| wishes.iter().find(|(other, _)| other == coding).map(|(_, quality)| *quality);
        let best = [Self::Brotli, Self::Gzip]
            .into_iter()
            .filter_map(|encoding| {
                let quality = wished(encoding.name()?).or_else(|| wished("*"))?;
                (quality > 0).then_some((quality, encoding))
            })
            .max();
        match best {
            // Named and liked better.
            Some((quality, _)) if wished("identity").is_some_and(|plain| plain > quality) => Self::Plain,
            Some((_, encoding)) => encoding,
            None => Self::Plain,
        }
    }

    /// What `Content-Encoding` says.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        for (accepted, chosen) in [
            (&[][..], Encoding::Plain),
            (&[""], Encoding::Plain),
            (&["gzip, deflate, br, zstd"], Encoding::Brotli),
            (&["gzip, deflate"], Encoding::Gzip),
            (&["gzip", "br"], Encoding::Brotli),
            (&["br;q=0.5, gzip"], Encoding::Gzip),
            (&["BR; Q=0.9 , GZIP;q=0.8"], Encoding::Brotli),
            (&["br;q=0, gzip;q=0"], Encoding::Plain),
            (&["br;q=0, *"], Encoding::Gzip),
            (&["*"], Encoding::Brotli),
            (&["*;q=0"], Encoding::Plain),
            (&["gzip, *;q=0"], Encoding::Gzip),
            (&["identity"], Encoding::Plain),
            (&["identity, gzip;q=0.5"], Encoding::Plain),
            (&["identity;q=0.5, gzip"], Encoding::Gzip),
            (&["identity, gzip"], Encoding::Gzip),
            (&["identity;q=0, zstd"], Encoding::Plain),
            (&["gzip;q=nonsense"], Encoding::Plain),
            (&["gzip;q=1.000;br"], Encoding::Gzip),
            (&["brotli, x-gzip"], Encoding::Plain),
        ] {
            let mut headers = HeaderMap::new();
            for value in accepted {
                headers.append(header::ACCEPT_ENCODING, value.parse().expect("a header value"));
            }
            assert_eq!(Encoding::choose(&headers), chosen, "{accepted:?}");
        }
    }
}

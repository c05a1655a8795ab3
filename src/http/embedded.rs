//! [`Embedded`]: a file that the build put into the binary, and how it is sent: encoded as the client likes it, with
//! an entity tag, and not at all when the client has it.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::encoding::Encoding;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The content, in each of its encodings.
pub struct Embedded {
    pub media_type: &'static str,
    /// Of the content.
    tag: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
    brotli: &'static [u8],
}

/// What a client may do with it.
#[derive(Clone, Copy)]
pub enum Serving {
    /// Asked for again each time.
    Document,
    /// Shown in a browser, under this Content-Security-Policy.
    Page(&'static str),
    /// Its name changes when it does, so that it can be kept for ever.
    Asset,
}

impl Embedded {
    pub fn respond(&self, serving: Serving, request: &HeaderMap) -> Response {
        let encoding = self.smallest(Encoding::choose(request));
        let content = self.content(encoding);
        // Encodings are different representations, and so have different tags (RFC 9110 §8.8.3.3).
        let tag = match encoding.name() {
            Some(name) => format!("\"{}-{name}\"", self.tag),
            None => format!("\"{}\"", self.tag),
        };
        let unchanged = knows(request, &tag);
        let mut response = Response::new(if unchanged { Body::empty() } else { Body::from(content) });
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
        set(header::VARY, "Accept-Encoding");
        match serving {
            Serving::Document => {
                set(header::CACHE_CONTROL, "no-cache");
            }
            Serving::Page(policy) => {
                set(header::CONTENT_SECURITY_POLICY, policy);
                set(header::REFERRER_POLICY, "no-referrer");
                set(header::CACHE_CONTROL, "no-cache");
            }
            Serving::Asset => {
                set(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
            }
        }
        if !unchanged {
            set(header::CONTENT_TYPE, self.media_type);
            if let Some(name) = encoding.name() {
                set(header::CONTENT_ENCODING, name);
            }
            // HEAD says it, too.
            headers.insert(header::CONTENT_LENGTH, content.len().into());
        }
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }

    fn content(&self, encoding: Encoding) -> &'static [u8] {
        match encoding {
            Encoding::Plain => self.plain,
            Encoding::Gzip => self.gzip,
            Encoding::Brotli => self.brotli,
        }
    }

    /// What an encoding makes larger is sent plain.
    fn smallest(&self, encoding: Encoding) -> Encoding {
        if self.content(encoding).len() < self.plain.len() { encoding } else { Encoding::Plain }
    }
}

/// Whether the client has the representation of that tag; tags are compared weakly (RFC 9110 §13.1.2).
pub fn knows(request: &HeaderMap, tag: &str) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    known
        .flat_map(|known| known.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

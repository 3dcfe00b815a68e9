//! Cross-origin requests: preflights, which are answered before anybody is asked who he is, and what browsers are let
//! see of other answers.
//!
//! PostgREST's surface speaks only to requests with an `Origin`, and by `server-cors-allowed-origins`; what it does
//! not allow it answers as if it had not been asked. Supabase's surface allows every origin, as its gateway does.

use poem::Response;
use poem::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::settings::{RestSettings, Surface};

const POSTGREST_METHODS: &str = "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD";
const POSTGREST_EXPOSES: &str = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, \
                                 Server, Transfer-Encoding, Range-Unit";
const SUPABASE_METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD";
const SUPABASE_HEADERS: [&str; 4] = ["Authorization", "Content-Type", "apikey", "X-Client-Info"];
const SUPABASE_EXPOSES: &str = "Content-Range, Range, Content-Encoding, Content-Location, Content-Profile, Location, \
                                Preference-Applied, Range-Unit, X-Request-Id, Idempotency-Replayed";
/// A day, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// Headers that a browser may always send.
const SIMPLE_HEADERS: [&str; 3] = ["Accept", "Accept-Language", "Content-Language"];

/// What a request says of where it comes from.
#[derive(Debug)]
pub struct Cors {
    surface: Surface,
    /// The origin to name: `*`, or the request's own if only some are allowed. None lets browsers see nothing.
    allowed: Option<HeaderValue>,
}

impl Cors {
    /// Looks at a request's origin.
    pub fn of(headers: &HeaderMap, surface: Surface, settings: &RestSettings) -> Self {
        let origins = settings
            .cors_origins
            .as_deref()
            .filter(|origins| !origins.is_empty());
        let allowed = match (surface, headers.get(ORIGIN), origins) {
            (Surface::Supabase, _, None) | (_, Some(_), None) => Some(ANY),
            (_, Some(origin), Some(origins)) => {
                let is_allowed = origins
                    .iter()
                    .any(|allowed| allowed.as_bytes() == origin.as_bytes());
                is_allowed.then(|| origin.clone())
            }
            (_, None, _) => None,
        };
        Self { surface, allowed }
    }

    /// Answers a preflight. None for other requests, and for what is not allowed.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        self.allowed.as_ref()?;
        if method != Method::OPTIONS {
            return None;
        }
        let methods = match self.surface {
            Surface::Postgrest => POSTGREST_METHODS,
            Surface::Supabase => SUPABASE_METHODS,
        };
        if !methods
            .split(", ")
            .any(|method| method.as_bytes() == wanted.as_bytes())
        {
            return None;
        }
        let mut response = Response::builder()
            .status(match self.surface {
                Surface::Postgrest => StatusCode::OK,
                Surface::Supabase => StatusCode::NO_CONTENT,
            })
            .finish();
        let out = response.headers_mut();
        self.allow_origin(out);
        out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        out.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(list) = self.allowed_headers(headers.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, list);
        }
        Some(response)
    }

    /// Lets browsers see an answer.
    pub fn expose(&self, out: &mut HeaderMap) {
        if self.allowed.is_none() {
            return;
        }
        self.allow_origin(out);
        let exposes = match self.surface {
            Surface::Postgrest => POSTGREST_EXPOSES,
            Surface::Supabase => SUPABASE_EXPOSES,
        };
        out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposes));
    }

    fn allow_origin(&self, out: &mut HeaderMap) {
        let Some(origin) = &self.allowed else { return };
        out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if *origin != ANY {
            out.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The headers that are always allowed, and every one that was asked for.
    fn allowed_headers(&self, requested: Option<&HeaderValue>) -> Option<HeaderValue> {
        let requested = match requested {
            Some(requested) => requested.to_str().ok()?,
            None if self.surface == Surface::Supabase => "",
            None => return None,
        };
        let requested = requested
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let (before, behind): (&[&str], &[&str]) = match self.surface {
            Surface::Postgrest => (&["Authorization"], &SIMPLE_HEADERS),
            Surface::Supabase => (&SUPABASE_HEADERS, &[]),
        };
        let mut names: Vec<&str> = Vec::new();
        for name in before
            .iter()
            .copied()
            .chain(requested)
            .chain(behind.iter().copied())
        {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name);
            }
        }
        HeaderValue::from_str(&names.join(", ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn preflight(
        surface: Surface,
        origins: &[&str],
        pairs: &[(&'static str, &'static str)],
    ) -> Option<Response> {
        let settings = RestSettings {
            cors_origins: Some(origins.iter().map(|origin| (*origin).to_owned()).collect()),
            ..RestSettings::default()
        };
        let headers = headers(pairs);
        Cors::of(&headers, surface, &settings).preflight(&Method::OPTIONS, &headers)
    }

    #[test]
    fn postgrest_allows_what_is_asked_for() {
        let asked = [
            ("origin", "http://a.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "Foo,Bar"),
        ];
        let response = preflight(Surface::Postgrest, &[], &asked).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            (
                "access-control-allow-methods",
                "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD",
            ),
            (
                "access-control-allow-headers",
                "Authorization, Foo, Bar, Accept, Accept-Language, Content-Language",
            ),
            ("access-control-max-age", "86400"),
        ] {
            assert_eq!(response.headers()[name], value, "{name}");
        }
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-credentials")
        );
    }

    #[test]
    fn only_the_origins_of_the_settings_are_allowed() {
        let from = |origin| [("origin", origin), ("access-control-request-method", "GET")];
        let origins = ["http://a.example", "http://b.example"];
        let response = preflight(Surface::Postgrest, &origins, &from("http://b.example")).unwrap();
        assert_eq!(
            response.headers()["access-control-allow-origin"],
            "http://b.example"
        );
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        assert!(preflight(Surface::Postgrest, &origins, &from("http://c.example")).is_none());
    }

    #[test]
    fn what_is_no_preflight_is_left_alone() {
        let method = ("access-control-request-method", "GET");
        let origin = ("origin", "http://a.example");
        assert!(preflight(Surface::Postgrest, &[], &[origin]).is_none());
        assert!(preflight(Surface::Postgrest, &[], &[method]).is_none());
        let unknown = [origin, ("access-control-request-method", "BREW")];
        assert!(preflight(Surface::Postgrest, &[], &unknown).is_none());
        let asked = headers(&[origin, method]);
        let cors = Cors::of(&asked, Surface::Postgrest, &RestSettings::default());
        assert!(cors.preflight(&Method::GET, &asked).is_none());
    }

    #[test]
    fn supabase_allows_its_clients_headers_and_more() {
        let asked = [
            ("origin", "http://a.example"),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,prefer"),
        ];
        let response = preflight(Surface::Supabase, &[], &asked).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert_eq!(
            response.headers()["access-control-allow-headers"],
            "Authorization, Content-Type, apikey, X-Client-Info, prefer"
        );
    }

    #[test]
    fn answers_are_shown_to_allowed_origins() {
        let settings = RestSettings::default();
        let exposed = |surface, pairs: &[(&'static str, &'static str)]| {
            let mut out = HeaderMap::new();
            Cors::of(&headers(pairs), surface, &settings).expose(&mut out);
            out.get("access-control-allow-origin").is_some()
                && out.get("access-control-expose-headers").is_some()
        };
        assert!(exposed(Surface::Postgrest, &[("origin", "http://a.example")]));
        assert!(!exposed(Surface::Postgrest, &[]));
        assert!(exposed(Surface::Supabase, &[]));
    }
}

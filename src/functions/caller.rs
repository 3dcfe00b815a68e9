//! The verified caller of a function, and how the OpenAPI document says what a caller has to send.

use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::auth::AuthContext;

const BEARER: &str = "bearer";
const API_KEY: &str = "apikey";

/// Who calls. The gate in front of all functions has verified the key or token by then.
pub struct Caller(pub AuthContext);

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let description = "The project's anon or service_role key, a user's token, or an `sb_…` key";
        registry.create_security_scheme(BEARER, bearer_scheme(description, Some("JWT")));
        let scheme = MetaSecurityScheme {
            ty: "apiKey",
            description: Some("The same keys without `Authorization`; beside one it is ignored"),
            name: Some("apikey"),
            key_in: Some("header"),
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(API_KEY, scheme);
    }

    /// Either of them is enough.
    fn security_schemes() -> Vec<&'static str> {
        vec![BEARER, API_KEY]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let context = request.extensions().get::<AuthContext>().cloned();
        context
            .map(Self)
            .ok_or_else(|| poem::Error::from_status(StatusCode::UNAUTHORIZED))
    }
}

/// How the document describes a credential that goes into `Authorization: Bearer …`.
pub(super) fn bearer_scheme(description: &'static str, format: Option<&'static str>) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "http",
        description: Some(description),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: format,
        flows: None,
        openid_connect_url: None,
    }
}

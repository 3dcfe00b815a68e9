//! What shows that an update comes from Telegram: <https://core.telegram.org/bots/api#setwebhook>.

use poem::http::HeaderName;
use poem::web::Data;
use poem::{FromRequest as _, Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::DIALECT;
use crate::app::AppState;
use crate::config::Secret;
use crate::functions::error::FunctionError;

const SCHEME: &str = "telegramSecret";
const HEADER: &str = "x-telegram-bot-api-secret-token";

/// Shows that the caller holds `DROPWIRE_TELEGRAM_WEBHOOK_SECRET`, where that is set. The original asks for nothing.
#[derive(Debug, Clone, Copy)]
pub struct TelegramSecret;

impl TelegramSecret {
    fn verify(request: &Request, expected: Option<&Secret>) -> Option<Self> {
        let Some(expected) = expected else {
            return Some(Self);
        };
        let mut sent = request
            .headers()
            .get_all(HeaderName::from_static(HEADER))
            .into_iter();
        let valid = expected.matches(sent.next()?.to_str().ok()?) && sent.next().is_none();
        valid.then_some(Self)
    }
}

impl<'a> ApiExtractor<'a> for TelegramSecret {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "apiKey",
            description: Some(
                "DROPWIRE_TELEGRAM_WEBHOOK_SECRET, sent by Telegram; where that is not set, nothing is asked for",
            ),
            name: Some("X-Telegram-Bot-Api-Secret-Token"),
            key_in: Some("header"),
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let state = Data::<&AppState>::from_request_without_body(request).await?;
        let expected = state.settings.telegram.webhook_secret.as_ref();
        Self::verify(request, expected)
            .ok_or_else(|| poem::Error::from_response(FunctionError::Unauthorized.respond(DIALECT)))
    }
}

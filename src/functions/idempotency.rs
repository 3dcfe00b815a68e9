//! `Idempotency-Key` on its way in, `Idempotency-Replayed` on the way out.

use poem::http::{HeaderName, HeaderValue};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::registry::{MetaHeader, MetaParamIn, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde_json::json;

use super::Success;
use crate::idempotency::{InvalidKey, KEY_MAX_CHARS, Key};

/// The request's header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header `Idempotency-Key`, optional.
pub struct IdempotencyKey(Result<Option<Key>, InvalidKey>);

impl IdempotencyKey {
    /// The key, if there is one; or why it is none.
    pub fn key(self) -> Result<Option<Key>, InvalidKey> {
        self.0
    }
}

impl<'a> ApiExtractor<'a> for IdempotencyKey {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(KEY_MAX_CHARS),
            pattern: Some("^[!-~]+$".to_owned()),
            example: Some(json!("7f0c9a52-3e1b-4d86-9a41-5c2d8e6b0f13")),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let values = request.headers().get_all(KEY);
        Ok(Self(Key::read(values.iter().map(HeaderValue::as_bytes))))
    }
}

/// A success that may have been answered before, and is then the same but for one header.
pub struct Replayable<T> {
    /// The body.
    pub answer: T,
    /// Whether an earlier call did the work.
    pub replayed: bool,
}

impl<T: ToJSON> IntoResponse for Replayable<T> {
    fn into_response(self) -> Response {
        let mut response = Success(self.answer).into_response();
        if self.replayed {
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<T: Type + ToJSON> ApiResponse for Replayable<T> {
    fn meta() -> MetaResponses {
        let mut meta = Success::<T>::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader {
                name: REPLAYED.to_string(),
                description: Some(
                    "`true` when an earlier call with this Idempotency-Key got this answer".to_owned(),
                ),
                required: false,
                deprecated: false,
                schema: bool::schema_ref(),
            });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        Success::<T>::register(registry);
    }
}

//! The request body as the original reads it: bytes, whatever their content type says.

use std::marker::PhantomData;
use std::time::Duration;

use poem::web::Data;
use poem::{FromRequest as _, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::error::FunctionError;
use crate::app::AppState;
use crate::http::body::{self, BodyError};

/// Largest body in bytes: 5 MB, as Make's own limit.
pub const LIMIT: usize = 5 * 1024 * 1024;

/// A JSON body, unparsed; `T` is its documented shape.
pub struct JsonBody<T> {
    bytes: Result<Vec<u8>, FunctionError>,
    shape: PhantomData<T>,
}

impl<T> JsonBody<T> {
    /// The bytes, or why they could not be read.
    pub fn bytes(self) -> Result<Vec<u8>, FunctionError> {
        self.bytes
    }
}

async fn read(req: &Request, body: &mut RequestBody, timeout: Duration) -> Result<Vec<u8>, FunctionError> {
    let body = body.take().map_err(|_taken_before| FunctionError::Internal)?;
    let bytes = body::read(req.headers(), body, LIMIT, timeout).await;
    bytes.map(Vec::from).map_err(|error| match error {
        BodyError::TooLarge => FunctionError::PayloadTooLarge,
        BodyError::Late => FunctionError::BodyTimeout,
        BodyError::BrokenOff => FunctionError::InvalidJson,
    })
}

impl<'a, T: Type> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: Some("JSON, whatever the content type says"),
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: T::schema_ref(),
            }],
            required: T::IS_REQUIRED,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let state = Data::<&AppState>::from_request_without_body(request).await?;
        Ok(Self {
            bytes: read(request, body, state.settings.http.body_timeout).await,
            shape: PhantomData,
        })
    }
}

//! The request body as the original reads it: bytes, whatever their content type says.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use poem::http::header::{CONTENT_LENGTH, EXPECT};
use poem::web::Data;
use poem::{FromRequest as _, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::error::FunctionError;
use crate::app::AppState;

/// Largest body in bytes: 5 MB, as Make's own limit.
pub const LIMIT: usize = 5 * 1024 * 1024;
/// Most bytes of an unwanted body that are read, to be thrown away.
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;

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
    let announced = req.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if expects_continue(req) && announced.is_some_and(|length: u64| length > LIMIT as u64) {
        return Err(FunctionError::PayloadTooLarge);
    }
    let body = body.take().map_err(|_taken_before| FunctionError::Internal)?;
    let mut chunks = Box::pin(body.into_bytes_stream());
    let bytes = tokio::time::timeout(timeout, collect(&mut chunks)).await;
    let bytes = bytes.unwrap_or(Err(FunctionError::BodyTimeout));
    if matches!(bytes, Err(FunctionError::PayloadTooLarge)) {
        drop(tokio::spawn(drain(chunks, timeout)));
    }
    bytes
}

async fn collect(
    chunks: &mut (impl Stream<Item = std::io::Result<Bytes>> + Unpin),
) -> Result<Vec<u8>, FunctionError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_broken_off| FunctionError::InvalidJson)?;
        if bytes.len() + chunk.len() > LIMIT {
            return Err(FunctionError::PayloadTooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Goes on reading the body of a request that is refused without it, beside the answer.
///
/// Else the connection would close on a client that is still sending, and one that sends everything before it
/// looks at the answer would see a broken pipe and never the reason.
pub(super) fn discard(req: &mut Request, timeout: Duration) {
    let body = req.take_body();
    if !body.is_empty() && !expects_continue(req) {
        drop(tokio::spawn(drain(Box::pin(body.into_bytes_stream()), timeout)));
    }
}

async fn drain(mut chunks: impl Stream<Item = std::io::Result<Bytes>> + Unpin, timeout: Duration) {
    let everything = async {
        let mut left = DISCARD_LIMIT;
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Late or endless: the connection closes.
    drop(tokio::time::timeout(timeout, everything).await);
}

/// Whether the client waits for a word before it sends the body.
fn expects_continue(req: &Request) -> bool {
    req.headers().contains_key(EXPECT)
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

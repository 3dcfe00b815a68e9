//! Reading bodies: within a size and a time, and politely where they are not wanted.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use poem::http::HeaderMap;
use poem::http::header::{CONTENT_LENGTH, EXPECT};
use poem::{Body, Request};

/// Most bytes of an unwanted body that are read, to be thrown away.
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than it may have.
    #[error("the body is too large")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Late,
    /// It broke off.
    #[error("the body broke off")]
    BrokenOff,
}

/// Reads the body of a request with these headers. One that arrives in one piece is not copied.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if expects_continue(headers) && announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut chunks = Box::pin(body.into_bytes_stream());
    let bytes = tokio::time::timeout(timeout, collect(&mut chunks, limit)).await;
    let bytes = bytes.unwrap_or(Err(BodyError::Late));
    if bytes == Err(BodyError::TooLarge) {
        drop(tokio::spawn(drain(chunks, timeout)));
    }
    bytes
}

async fn collect(
    chunks: &mut (impl Stream<Item = std::io::Result<Bytes>> + Unpin),
    limit: usize,
) -> Result<Bytes, BodyError> {
    let mut next = async |len: usize| match chunks.next().await {
        None => Ok(None),
        Some(Err(_broken_off)) => Err(BodyError::BrokenOff),
        Some(Ok(chunk)) if len + chunk.len() > limit => Err(BodyError::TooLarge),
        Some(Ok(chunk)) => Ok(Some(chunk)),
    };
    let Some(first) = next(0).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = next(first.len()).await? else {
        return Ok(first);
    };
    let mut bytes = BytesMut::from(first);
    bytes.extend_from_slice(&second);
    while let Some(chunk) = next(bytes.len()).await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Goes on reading the body of a request that is refused without it, beside the answer.
///
/// Else the connection would close on a client that is still sending, and one that sends everything before it
/// looks at the answer would see a broken pipe and never the reason.
pub fn discard(req: &mut Request, timeout: Duration) {
    let body = req.take_body();
    if !body.is_empty() && !expects_continue(req.headers()) {
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
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.contains_key(EXPECT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    async fn read_chunks(chunks: &[&'static str], limit: usize) -> Result<Bytes, BodyError> {
        let chunks: Vec<std::io::Result<&[u8]>> = chunks.iter().map(|chunk| Ok(chunk.as_bytes())).collect();
        let body = Body::from_bytes_stream(futures_util::stream::iter(chunks));
        read(&HeaderMap::new(), body, limit, PATIENCE).await
    }

    #[tokio::test]
    async fn chunks_are_joined_up_to_the_limit() {
        assert_eq!(read_chunks(&[], 3).await.unwrap(), "");
        assert_eq!(read_chunks(&["abc"], 3).await.unwrap(), "abc");
        assert_eq!(read_chunks(&["a", "b", "c"], 3).await.unwrap(), "abc");
        assert_eq!(read_chunks(&["abcd"], 3).await, Err(BodyError::TooLarge));
        assert_eq!(read_chunks(&["ab", "cd"], 3).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_late_and_one_that_ends_early_is_broken_off() {
        let pending = Body::from_bytes_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        assert_eq!(
            read(&HeaderMap::new(), pending, 3, PATIENCE).await,
            Err(BodyError::Late)
        );
        let broken = [Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))];
        let broken = Body::from_bytes_stream(futures_util::stream::iter(broken));
        assert_eq!(
            read(&HeaderMap::new(), broken, 3, PATIENCE).await,
            Err(BodyError::BrokenOff)
        );
    }
}

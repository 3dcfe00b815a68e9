//! What the grammars' tests share.

use crate::rest::error::RequestError;

/// An error of a grammar as `(line, column) details`.
pub(super) fn details(error: RequestError) -> String {
    match error {
        RequestError::QueryParam { message, details } => {
            let place = message.rsplit_once("(line ").map_or("", |(_, place)| place);
            format!("({} {details}", place.replace("column ", ""))
        }
        error => format!("{error:?}"),
    }
}

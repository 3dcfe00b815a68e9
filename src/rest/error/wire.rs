//! Errors on the wire: status, headers, and the four-key body.

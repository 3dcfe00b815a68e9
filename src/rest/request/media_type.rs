//! Media types of `Accept` and `Content-Type`.

/// A media type that has a meaning here, or any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/geo+json`
    GeoJson,
    /// `text/csv`
    Csv,
    /// `text/plain`
    Text,
    /// `text/xml`
    Xml,
    /// `application/openapi+json`
    OpenApi,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/octet-stream`
    OctetStream,
    /// `*/*`
    Any,
    /// `application/vnd.pgrst.array+json;nulls=stripped`
    ArrayStripped,
    /// `application/vnd.pgrst.object+json`
    Object {
        /// `nulls=stripped`
        stripped: bool,
    },
    /// `application/vnd.pgrst.plan`
    Plan {
        /// The media type whose statement is explained.
        target: Box<MediaType>,
        /// How the plan is written.
        format: PlanFormat,
        /// Options of `explain`.
        options: Vec<PlanOption>,
    },
    /// Any other, as sent.
    Other(String),
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanFormat {
    /// `+json`
    Json,
    /// `+text`
    Text,
}

/// Options of `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanOption {
    /// `analyze`
    Analyze,
    /// `verbose`
    Verbose,
    /// `settings`
    Settings,
    /// `buffers`
    Buffers,
    /// `wal`
    Wal,
}

//! Contract tests: real HTTP, a real PostgreSQL, a real webhook sink. One file per feature.

mod support;

mod onboarding;
mod story;

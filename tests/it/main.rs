//! Contract tests: real HTTP, a real PostgreSQL, a real webhook sink.

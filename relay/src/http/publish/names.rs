//! Names of headers that a publish may have. As constants: a text is looked through and copied before
//! it is looked up.

use http::HeaderName;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub const CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
pub const SSE_EVENT: HeaderName = HeaderName::from_static("sse-event");
pub const SSE_ATTRIBUTE: HeaderName = HeaderName::from_static("sse-attribute");
pub const SSE_RETRY: HeaderName = HeaderName::from_static("sse-retry");
pub const SSE_TIME: HeaderName = HeaderName::from_static("sse-time");
pub const SSE_END: HeaderName = HeaderName::from_static("sse-end");

//! What S3's answers mean.

use std::fmt::Debug;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::{RequestId, RequestIdExt};

use super::super::aws::causes;

/// What went wrong, as far as a caller may handle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such object, or no such version of it.
    NoSuchKey,
    /// There is no such upload.
    NoSuchUpload,
    /// 412: the condition does not hold.
    ConditionFailed,
    /// 409: another conditional write was under way. Try again.
    Conflict,
    /// 416: the range starts after the object's end.
    BeyondEnd,
    /// Anything else.
    Other,
}

impl Fault {
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let Some(response) = error.raw_response() else {
            return Self::Other;
        };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        Self::from_answer(response.status().as_u16(), code)
    }

    /// By status and error code. A HEAD has no body and so no code, but `NotFound` or none at all.
    fn from_answer(status: u16, code: Option<&str>) -> Self {
        match (status, code) {
            (404, Some("NoSuchUpload")) => Self::NoSuchUpload,
            (404, None | Some("NoSuchKey" | "NoSuchVersion" | "NotFound")) => Self::NoSuchKey,
            // A HEAD or GET of a version that is a delete marker.
            (405, None | Some("MethodNotAllowed")) => Self::NoSuchKey,
            (409, None | Some("ConditionalRequestConflict" | "OperationAborted")) => Self::Conflict,
            (412, _) => Self::ConditionFailed,
            (416, _) => Self::BeyondEnd,
            _ => Self::Other,
        }
    }
}

/// The error in S3's words, with what AWS support asks for.
pub(super) fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(response) = error.raw_response() else {
        return causes(error);
    };
    let status = response.status().as_u16();
    let service = error.as_service_error();
    let code = service.and_then(ProvideErrorMetadata::code).unwrap_or("no error code");
    let message = service.and_then(ProvideErrorMetadata::message).unwrap_or("no message");
    let request_id = error.request_id().unwrap_or("unknown");
    let extended_id = error.extended_request_id().map(|id| format!(", extended id {id}")).unwrap_or_default();
    let hint = match status {
        403 => "; without s3:ListBucket a missing key is answered so too",
        _ => "",
    };
    format!("{status} {code}: {message} (request id {request_id}{extended_id}){hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_key_counts_as_missing() {
        assert_eq!(Fault::from_answer(404, Some("NoSuchKey")), Fault::NoSuchKey);
        assert_eq!(Fault::from_answer(404, None), Fault::NoSuchKey);
        assert_eq!(Fault::from_answer(404, Some("NoSuchBucket")), Fault::Other);
        assert_eq!(Fault::from_answer(403, Some("AccessDenied")), Fault::Other);
    }

    #[test]
    fn a_conflict_is_not_a_failed_condition() {
        assert_eq!(Fault::from_answer(409, Some("ConditionalRequestConflict")), Fault::Conflict);
        assert_eq!(Fault::from_answer(409, Some("BucketNotEmpty")), Fault::Other);
        assert_eq!(Fault::from_answer(412, Some("PreconditionFailed")), Fault::ConditionFailed);
    }
}

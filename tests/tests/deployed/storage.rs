//! S3 keeps the promises of `rowmill::storage::Storage`, as the folder and the memory do.

use anyhow::Result;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use rowmill::storage::S3Stores;
use rowmill_tests::conformance::conformance;
use rowmill_tests::stack::Stack;

async fn conforms(bucket: &str, versioned: bool) -> Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::up).await??;
    let s3 = stack.s3().await;
    s3.create_bucket().bucket(bucket).send().await?;
    if versioned {
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await?;
    }
    conformance(S3Stores::new(&stack.sdk().await).bucket(bucket).as_ref()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_the_promises() -> Result<()> {
    conforms("conformance-plain", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_keeps_versions_keeps_the_promises() -> Result<()> {
    conforms("conformance-versioned", true).await
}

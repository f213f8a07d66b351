//! What `template.yaml` promises, read from the template as CloudFormation gets it: SAM's resources expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use rowmill_tests::stack::repository;
use rstest::rstest;
use serde_json::Value;

/// The whole expanded template.
fn template() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let json = tool(&["template"]).expect("infra/stack template");
        serde_json::from_str(&json).expect("infra/stack template prints JSON")
    })
}

fn tool(arguments: &[&str]) -> Result<String> {
    let output = Command::new(repository().join("infra/stack"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "infra/stack {arguments:?} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The properties of a resource.
fn properties(name: &str) -> &'static Value {
    let resource = &template()["Resources"][name];
    assert!(resource.is_object(), "the template has no {name}");
    &resource["Properties"]
}

/// The resources of a type, by name.
fn all(kind: &str) -> BTreeMap<&'static str, &'static Value> {
    let resources = template()["Resources"].as_object().expect("resources");
    let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
}

/// What `!GetAtt Name.Attribute` or `!Ref Name` names.
fn referent(value: &Value) -> &str {
    let attribute = value.get("Fn::GetAtt").and_then(|path| path.get(0));
    attribute
        .or_else(|| value.get("Ref"))
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{value} refers to nothing"))
}

/// Each value that a number can take: itself, its parameter's default, or its mapping's entry for each allowed key.
fn seconds(value: &Value) -> BTreeMap<String, u64> {
    if let Some(number) = value.as_u64() {
        return BTreeMap::from([(String::new(), number)]);
    }
    let path = value["Fn::FindInMap"].as_array().unwrap_or_else(|| panic!("{value} is no number"));
    let (map, field) = (path[0].as_str().unwrap(), path[2].as_str().unwrap());
    let entries = template()["Mappings"][map].as_object().unwrap();
    entries.iter().map(|(key, entry)| (key.clone(), entry[field].as_u64().unwrap())).collect()
}

/// The statements of a function's role: `effect`, sorted verbs, resources.
fn statements(policy: &str) -> Vec<(&'static str, BTreeSet<&'static str>, String)> {
    let listed = properties(policy)["PolicyDocument"]["Statement"].as_array().unwrap();
    let plain = listed.iter().map(|statement| match statement.get("Fn::If") {
        Some(choice) => &choice[1],
        None => statement,
    });
    plain
        .map(|statement| {
            let action = &statement["Action"];
            let verbs = match action.as_array() {
                Some(several) => several.iter().filter_map(Value::as_str).collect(),
                None => action.as_str().into_iter().collect(),
            };
            (statement["Effect"].as_str().unwrap(), verbs, statement["Resource"].to_string())
        })
        .collect()
}

/// Every verb that a role may use.
fn verbs(policy: &str) -> BTreeSet<&'static str> {
    statements(policy).into_iter().flat_map(|(_, verbs, _)| verbs).collect()
}

/// Where a role may use a verb, as JSON text.
fn resources_of(policy: &str, verb: &str) -> String {
    let may = statements(policy).into_iter().filter(|(_, verbs, _)| verbs.contains(verb));
    may.map(|(_, _, resources)| resources).collect()
}

#[test]
fn sam_validates_and_lints_the_template_without_a_finding() -> Result<()> {
    tool(&["validate"]).map(drop)
}

#[rstest]
#[case("ProcessorFunctionWork", "WorkQueue")]
#[case("FinalizerFunctionFinalize", "FinalizeQueue")]
fn each_queue_reader_returns_single_messages_and_has_a_concurrency_of_its_own(
    #[case] mapping: &str,
    #[case] queue: &str,
) {
    let mapping = properties(mapping);
    assert_eq!(referent(&mapping["EventSourceArn"]), queue);
    assert_eq!(mapping["FunctionResponseTypes"], serde_json::json!(["ReportBatchItemFailures"]));
    assert_eq!(mapping["BatchSize"], 1);
    let concurrency = referent(&mapping["ScalingConfig"]["MaximumConcurrency"]);
    let parameter = &template()["Parameters"][concurrency];
    assert!(parameter["MinValue"].as_u64().unwrap() >= 2, "AWS takes no less than 2: {parameter}");
    assert!(parameter["MaxValue"].as_u64().unwrap() <= 1000, "AWS takes no more than 1000: {parameter}");
}

#[test]
fn every_event_source_mapping_is_one_of_the_two_that_are_tested() {
    assert_eq!(all("AWS::Lambda::EventSourceMapping").len(), 2);
}

#[test]
fn no_function_reserves_concurrency_because_that_sends_messages_to_the_dead_letters_unprocessed() {
    for (name, function) in all("AWS::Lambda::Function") {
        assert!(function.get("ReservedConcurrentExecutions").is_none(), "{name}");
    }
}

#[test]
fn a_queue_hides_a_message_for_six_times_its_readers_timeout() {
    for mapping in all("AWS::Lambda::EventSourceMapping").values() {
        let (function, queue) = (referent(&mapping["FunctionName"]), referent(&mapping["EventSourceArn"]));
        let timeouts = seconds(&properties(function)["Timeout"]);
        let visibilities = seconds(&properties(queue)["VisibilityTimeout"]);
        assert_eq!(timeouts.keys().collect::<Vec<_>>(), visibilities.keys().collect::<Vec<_>>());
        for (choice, timeout) in timeouts {
            assert!(
                visibilities[&choice] >= 6 * timeout,
                "{queue} {choice}: {} s for {timeout} s",
                visibilities[&choice]
            );
            assert!(timeout <= 900, "Lambda ends every function after 15 minutes");
        }
    }
}

#[test]
fn each_timeout_that_may_be_chosen_has_a_visibility() {
    let allowed = template()["Parameters"]["ProcessorTimeout"]["AllowedValues"].as_array().unwrap();
    let allowed: BTreeSet<&str> = allowed.iter().filter_map(Value::as_str).collect();
    let mapped = template()["Mappings"]["Processor"].as_object().unwrap();
    assert_eq!(allowed, mapped.keys().map(String::as_str).collect());
}

#[rstest]
#[case("WorkQueue", "WorkDlq")]
#[case("FinalizeQueue", "FinalizeDlq")]
fn a_message_is_tried_more_often_than_any_dataset_may_ask_for_and_then_kept_longer_than_before(
    #[case] queue: &str,
    #[case] dead_letters: &str,
) {
    let redrive = &properties(queue)["RedrivePolicy"];
    assert!(redrive["maxReceiveCount"].as_u64().unwrap() > rowmill::dataset::MAX_ATTEMPTS);
    assert_eq!(referent(&redrive["deadLetterTargetArn"]), dead_letters);
    let retention = |queue: &str| properties(queue)["MessageRetentionPeriod"].as_u64().unwrap();
    // A dead letter keeps the time at which it was first sent.
    assert!(retention(dead_letters) > retention(queue));
}

#[test]
fn an_event_that_the_checker_cannot_take_is_kept() {
    let asynchronous = &all("AWS::Lambda::EventInvokeConfig")["CheckerFunctionEventInvokeConfig"];
    assert_eq!(referent(&asynchronous["DestinationConfig"]["OnFailure"]["Destination"]), "OnFailureQueue");
    for (name, schedule) in all("AWS::Scheduler::Schedule") {
        assert_eq!(referent(&schedule["Target"]["DeadLetterConfig"]["Arn"]), "TriggerDlq", "{name}");
    }
    for (name, rule) in all("AWS::Events::Rule") {
        assert_eq!(referent(&rule["Targets"][0]["DeadLetterConfig"]["Arn"]), "TriggerDlq", "{name}");
    }
    let allows = properties("TriggerDlqPolicy").to_string();
    assert!(allows.contains("events.amazonaws.com"), "EventBridge sends in its own name: {allows}");
}

#[test]
fn the_schedules_ask_for_a_relist_and_for_a_heal_sweep() {
    let input =
        |name: &str| -> Value { serde_json::from_str(properties(name)["Target"]["Input"].as_str().unwrap()).unwrap() };
    assert_eq!(input("RelistScheduler"), serde_json::json!({"intent": ""}));
    assert_eq!(input("HealScheduler"), serde_json::json!({"intent": "heal"}));
}

const KEY: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];
const LOG: [&str; 2] = ["logs:CreateLogStream", "logs:PutLogEvents"];
const READ_SOURCE: [&str; 3] = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"];
const RECEIVE: [&str; 4] =
    ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
const TELL: [&str; 2] = ["secretsmanager:GetSecretValue", "sns:Publish"];
const WRITE: [&str; 3] = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"];
const SEND: [&str; 1] = ["sqs:SendMessage"];

#[rstest]
#[case("CheckerPolicy", &[&KEY[..], &LOG, &READ_SOURCE, &SEND, &["s3:PutObject", "sqs:GetQueueAttributes"]])]
#[case("ProcessorPolicy", &[&KEY[..], &LOG, &READ_SOURCE, &RECEIVE, &SEND, &WRITE])]
#[case("FinalizerPolicy", &[&KEY[..], &LOG, &READ_SOURCE, &RECEIVE, &SEND, &WRITE, &TELL, &["s3:DeleteObject"]])]
#[case("SchedulerPolicy", &[&KEY[..], &SEND, &["lambda:InvokeFunction"]])]
fn a_role_may_use_these_verbs_and_no_others(#[case] policy: &str, #[case] expected: &[&[&'static str]]) {
    let expected: BTreeSet<&str> = expected.iter().flat_map(|verbs| verbs.iter().copied()).collect();
    assert_eq!(verbs(policy), expected);
}

#[test]
fn no_role_has_a_wildcard_verb_or_reaches_every_resource_or_takes_a_managed_policy() {
    for name in all("AWS::IAM::Policy").into_keys() {
        for (effect, verbs, resources) in statements(name) {
            assert_eq!(effect, "Allow");
            assert!(verbs.iter().all(|verb| !verb.contains('*')), "{name}: {verbs:?}");
            assert_ne!(resources, "\"*\"", "{name}: {verbs:?}");
        }
    }
    for (name, role) in all("AWS::IAM::Role") {
        assert!(role.get("ManagedPolicyArns").is_none() && role.get("Policies").is_none(), "{name}");
    }
}

#[test]
fn each_function_has_a_role_of_its_own() {
    let functions = all("AWS::Lambda::Function");
    let roles: BTreeSet<&str> = functions.values().map(|function| referent(&function["Role"])).collect();
    assert_eq!(roles, BTreeSet::from(["CheckerRole", "FinalizerRole", "ProcessorRole"]));
}

#[test]
fn the_checker_writes_open_runs_configs_and_prefixes_and_no_part() {
    let written = resources_of("CheckerPolicy", "s3:PutObject");
    let expected = ["open/*", "configs/*", "prefixes.json"]
        .map(|below| format!(r#"{{"Fn::Sub":"${{SinkBucket.Arn}}/_rowmill/{below}"}}"#));
    assert_eq!(written, format!("[{}]", expected.join(",")));
}

#[rstest]
#[case("CheckerPolicy")]
#[case("ProcessorPolicy")]
#[case("FinalizerPolicy")]
fn no_function_writes_to_or_deletes_from_the_source(#[case] policy: &str) {
    for verb in WRITE.into_iter().chain(["s3:DeleteObject"]) {
        let resources = resources_of(policy, verb);
        assert!(!resources.contains("ource"), "{policy} may {verb} {resources}");
    }
}

#[test]
fn only_the_finalizer_deletes() {
    let deleters = all("AWS::IAM::Policy").into_keys().filter(|name| verbs(name).contains("s3:DeleteObject"));
    assert_eq!(deleters.collect::<Vec<_>>(), ["FinalizerPolicy"]);
}

#[test]
fn a_function_receives_from_its_own_queue_alone() {
    for (policy, queue) in [("ProcessorPolicy", "WorkQueue"), ("FinalizerPolicy", "FinalizeQueue")] {
        let resources = resources_of(policy, "sqs:ReceiveMessage");
        assert_eq!(resources, format!(r#"{{"Fn::GetAtt":["{queue}","Arn"]}}"#));
    }
}

#[rstest]
#[case("SourceBucket")]
#[case("SinkBucket")]
fn a_bucket_is_private_encrypted_reached_by_tls_alone_and_outlives_the_stack(#[case] bucket: &str) {
    let bucket_properties = properties(bucket);
    for block in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        assert_eq!(bucket_properties["PublicAccessBlockConfiguration"][block], true, "{block}");
    }
    let rule = &bucket_properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
    let algorithm = &rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"];
    assert_eq!(algorithm["Fn::If"], serde_json::json!(["HasKey", "aws:kms", "AES256"]));
    let policies = all("AWS::S3::BucketPolicy");
    let policy = policies.values().find(|policy| referent(&policy["Bucket"]) == bucket).expect("a bucket policy");
    assert_denies_plain_http(policy, "s3:*");
    assert!(policy.to_string().contains(&format!("${{{bucket}.Arn}}/*")), "its objects too: {policy}");
    assert_eq!(template()["Resources"][bucket]["DeletionPolicy"], "Retain");
}

#[test]
fn the_source_bucket_keeps_versions() {
    assert_eq!(properties("SourceBucket")["VersioningConfiguration"]["Status"], "Enabled");
}

#[test]
fn every_queue_is_encrypted_and_reached_by_tls_alone() {
    let policies = all("AWS::SQS::QueuePolicy");
    for (name, queue) in all("AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"]["Fn::If"][2], true, "{name}");
        assert_eq!(queue["KmsMasterKeyId"]["Fn::If"][1]["Ref"], "KmsKeyArn", "{name}");
        let names = |policy: &Value| policy["Queues"].as_array().unwrap().iter().any(|queue| referent(queue) == name);
        let policy = policies.values().find(|policy| names(policy)).unwrap_or_else(|| panic!("{name} has no policy"));
        assert_denies_plain_http(policy, "sqs:*");
    }
}

fn assert_denies_plain_http(policy: &Value, action: &str) {
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let denies = statements.iter().any(|statement| {
        statement["Effect"] == "Deny"
            && statement["Principal"] == "*"
            && statement["Action"] == action
            && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
    });
    assert!(denies, "{policy}");
}

#[test]
fn unfinished_uploads_outlive_every_message_that_could_finish_them() {
    let rules = properties("SinkBucket")["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    let days = rules.iter().find_map(|rule| rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].as_u64());
    let days = days.expect("a rule that aborts unfinished uploads");
    for queue in ["WorkQueue", "FinalizeQueue"] {
        let retention_days = properties(queue)["MessageRetentionPeriod"].as_u64().unwrap().div_ceil(86_400);
        assert!(days > retention_days, "{queue}: a message lives {retention_days} days, an upload {days}");
    }
}

#[test]
fn no_dead_letter_goes_unnoticed() {
    let alarms = all("AWS::CloudWatch::Alarm");
    for queue in ["WorkDlq", "FinalizeDlq", "OnFailureQueue", "TriggerDlq"] {
        let alarm = alarms
            .values()
            .find(|alarm| alarm["MetricName"] == "ApproximateNumberOfMessagesVisible" && of(alarm, "QueueName", queue));
        let alarm = alarm.unwrap_or_else(|| panic!("{queue} has no alarm"));
        assert_eq!(alarm["Threshold"], 0);
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanThreshold");
    }
}

#[test]
fn waiting_messages_failed_runs_and_failing_functions_raise_alarms_that_reach_somebody() {
    let alarms = all("AWS::CloudWatch::Alarm");
    let exists = |metric: &str, dimension: &str, resource: &str| {
        let found = alarms.values().any(|alarm| alarm["MetricName"] == metric && of(alarm, dimension, resource));
        assert!(found, "no alarm on {metric} of {resource}");
    };
    for queue in ["WorkQueue", "FinalizeQueue"] {
        exists("ApproximateAgeOfOldestMessage", "QueueName", queue);
    }
    for function in ["CheckerFunction", "ProcessorFunction", "FinalizerFunction"] {
        exists("Errors", "FunctionName", function);
    }
    for metric in ["RunsFailed", "DatasetsRefused", "NoticesDropped"] {
        let alarm = alarms.values().find(|alarm| alarm["MetricName"] == metric).expect(metric);
        assert_eq!(alarm["Namespace"], "Rowmill");
        assert_eq!(alarm["Dimensions"][0]["Name"], "Stack", "{metric}: two stacks in an account must not share it");
    }
    for (name, alarm) in &alarms {
        assert_eq!(alarm["AlarmActions"][0]["Ref"], "AlarmTopic", "{name}");
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{name}");
    }
}

fn of(alarm: &Value, dimension: &str, resource: &str) -> bool {
    let dimensions = alarm["Dimensions"].as_array();
    dimensions.is_some_and(|dimensions| {
        dimensions.iter().any(|each| each["Name"] == dimension && referent(&each["Value"]) == resource)
    })
}

#[test]
fn logs_are_kept_for_a_time_and_each_function_writes_to_its_own() {
    for (name, function) in all("AWS::Lambda::Function") {
        let group = referent(&function["LoggingConfig"]["LogGroup"]);
        assert_eq!(properties(group)["RetentionInDays"]["Ref"], "LogRetentionDays", "{name}");
    }
}

#[test]
fn the_dashboard_is_json_once_its_names_are_filled_in() -> Result<()> {
    let body = properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().context("a Fn::Sub")?;
    let dashboard: Value = serde_json::from_str(body)?;
    assert!(dashboard["widgets"].as_array().is_some_and(|widgets| widgets.len() >= 6));
    Ok(())
}

#[test]
fn the_outputs_are_those_that_the_command_looks_for() {
    let outputs = template()["Outputs"].as_object().unwrap();
    for name in [
        "SourceBucket",
        "SinkBucket",
        "CheckerFunction",
        "ProcessorFunction",
        "FinalizerFunction",
        "WorkQueueUrl",
        "WorkDlqUrl",
        "FinalizeQueueUrl",
        "FinalizeDlqUrl",
        "OnFailureQueueUrl",
        "NotificationTopicArn",
    ] {
        assert!(outputs.contains_key(name), "no output {name}");
    }
}

#[test]
fn the_finalizer_alone_tells_how_runs_ended_and_knows_the_webhooks_secret_by_name() {
    for (name, function) in all("AWS::Lambda::Function") {
        let variables = &function["Environment"]["Variables"];
        let (topic, secret) = (&variables["ROWMILL_NOTIFICATION_TOPIC"], &variables["ROWMILL_WEBHOOK_SECRET"]);
        if name == "FinalizerFunction" {
            assert_eq!((referent(topic), referent(secret)), ("NotificationTopic", "WebhookSecretArn"));
        } else {
            assert!(topic.is_null() && secret.is_null(), "{name}");
        }
    }
    let tellers = all("AWS::IAM::Policy").into_keys().filter(|name| verbs(name).contains("sns:Publish"));
    assert_eq!(tellers.collect::<Vec<_>>(), ["FinalizerPolicy"]);
    assert_eq!(resources_of("FinalizerPolicy", "sns:Publish"), r#"{"Ref":"NotificationTopic"}"#);
    assert_eq!(resources_of("FinalizerPolicy", "secretsmanager:GetSecretValue"), r#"{"Ref":"WebhookSecretArn"}"#);
    assert_eq!(template()["Parameters"]["WebhookSecretArn"]["Default"], "", "it is optional");
}

#[test]
fn notifications_go_to_a_topic_of_their_own_which_an_address_may_subscribe_to() {
    let topic = properties("NotificationTopic");
    assert_eq!(topic["KmsMasterKeyId"]["Fn::If"][1]["Ref"], "KmsKeyArn");
    let subscription = &template()["Resources"]["NotificationSubscription"];
    assert_eq!(subscription["Condition"], "HasNotificationEmail");
    assert_eq!(referent(&subscription["Properties"]["TopicArn"]), "NotificationTopic");
}

#[test]
fn the_dashboard_shows_every_metric_that_the_functions_print() {
    let body = properties("Dashboard")["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    for metric in [
        "RunsComplete",
        "RunsFailed",
        "RunsSuperseded",
        "RowsKept",
        "RowsQuarantined",
        "RowsFiltered",
        "BytesRead",
        "BytesWritten",
        "PlanDuration",
        "SliceDuration",
        "PublishDuration",
        "RunDuration",
        "PeakMemory",
        "ColdStarts",
        "Cost",
        "GBSeconds",
        "SlicesFailed",
        "NoticesDropped",
        "DatasetsRefused",
    ] {
        assert!(body.contains(&format!("\"{metric}\"")), "{metric}");
    }
}

#[test]
fn every_function_is_told_its_sink_and_its_queues() {
    for (name, function) in all("AWS::Lambda::Function") {
        let variables = function["Environment"]["Variables"].as_object().unwrap();
        let names: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
        let expected = ["FINALIZE_QUEUE_URL", "LOG", "SINK", "STACK", "WORK_QUEUE_URL"];
        assert!(
            expected.iter().all(|variable| names.contains(format!("ROWMILL_{variable}").as_str())),
            "{name}: {names:?}"
        );
    }
}

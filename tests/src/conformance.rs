//! What every storage must promise: one suite that runs against memory, a local folder and S3.
//!
//! Each check is a function of its own that writes below a prefix of its own, so that they may run at once and leave
//! nothing behind that another sees. A broken promise is a panic that names it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod content;
mod help;
mod lists;
mod objects;
mod races;
mod uploads;

use rowmill::storage::Storage;

use content::*;
use lists::*;
use objects::*;
use races::*;
use uploads::*;

/// Runs every check. `storage` may hold other objects, but none below `conformance/` and `_rowmill/conformance/`.
pub async fn conformance(storage: &dyn Storage) {
    for place in ["conformance", "_rowmill/conformance"] {
        let at = |name: &str| format!("{place}/{name}");
        a_put_is_read_back(storage, &at("put")).await;
        an_object_above_the_limit_is_not_read(storage, &at("limit")).await;
        put_if_absent_writes_once(storage, &at("absent")).await;
        put_if_matches_swaps_only_what_was_read(storage, &at("swap")).await;
        deletes_are_conditional_and_repeatable(storage, &at("delete")).await;
        a_pinned_read_sees_its_version_or_none(storage, &at("pinned")).await;
        reads_in_turn_see_one_version_or_none(storage, &at("in-turn")).await;
        one_of_many_writers_wins(storage, &at("winner")).await;
        no_increment_is_lost(storage, &at("counter")).await;
        plain_writes_and_swaps_do_not_mix_up(storage, &at("mixed")).await;
    }
    unusual_keys_and_empty_objects_are_kept(storage, "conformance/keys").await;
    an_upload_is_invisible_until_completed(storage, "conformance/upload").await;
    an_upload_of_many_parts_is_their_bytes_in_order(storage, "conformance/parts").await;
    completing_twice_answers_the_same(storage, "conformance/twice").await;
    completing_at_once_makes_one_object(storage, "conformance/at-once").await;
    completing_again_does_not_bring_an_object_back(storage, "conformance/again").await;
    an_aborted_upload_never_becomes_an_object(storage, "conformance/aborted").await;
    aborting_a_completed_upload_leaves_its_object(storage, "conformance/abort-late").await;
    completing_replaces_what_lay_there(storage, "conformance/replace").await;
    an_upload_tells_whether_it_is_open_and_what_it_made(storage, "conformance/made").await;
    a_copy_with_another_etag_is_recognised_by_its_bytes(storage, "conformance/copied").await;
    something_else_at_the_key_is_left_alone(storage, "conformance/foreign").await;
    a_listing_is_in_key_order_and_paged(storage, "conformance/list").await;
    a_prefix_need_not_end_at_a_slash(storage, "conformance/prefix").await;
    what_was_deleted_is_not_listed(storage, "conformance/emptied").await;
}

//! The cases, each a sentence. A case gets an implementation with nothing in it.

pub mod appending;
pub mod concurrency;
pub mod ends;
pub mod gaps;
pub mod idempotency;
pub mod model;
pub mod overview;
pub mod partitions;
pub mod purging;
pub mod reading;
pub mod reopening;
pub mod resuming;
pub mod retention;

/// Makes a module with every case as a test of one implementation.
macro_rules! conformance {
    ($module:ident, $make:expr) => {
        conformance! { $module, $make;
            appending {
                ids_increase_over_all_channels_also_when_the_clock_steps_back,
                ids_go_on_past_4096_events_of_one_millisecond,
                a_publish_is_all_or_nothing,
                publishes_that_are_handed_over_together_keep_their_order_each_with_its_own_outcome,
                the_tail_gets_each_event_once_in_order_and_then_the_head_covers_it,
                every_event_names_its_predecessor_in_its_channel,
                a_log_that_was_closed_refuses_appends_and_closing_again_does_nothing,
                past_the_bound_new_channels_are_refused_and_others_go_on,
            }
            concurrency {
                concurrent_appends_come_out_in_the_order_of_their_ids,
                readers_beside_appends_see_every_event_once_and_no_certain_gap,
                concurrent_publishes_with_one_key_append_once,
            }
            ends {
                an_ended_channel_refuses_events_and_knows_that_it_is_finished,
                a_subscription_is_finished_only_when_all_its_channels_are,
                a_batch_ends_its_channel_with_its_last_event,
            }
            gaps {
                a_reader_that_missed_a_trimmed_event_gets_a_certain_gap,
                a_reader_that_has_all_that_is_trimmed_gets_no_gap,
                a_forgotten_channel_is_a_possible_gap_by_name_and_by_pattern,
                a_channel_that_returns_after_it_was_forgotten_has_a_possible_gap,
                what_is_trimmed_by_later_events_is_no_certain_gap_before_them,
                a_gap_that_was_told_is_not_told_again_by_the_next_page,
            }
            idempotency {
                a_repeat_gives_the_same_ids_and_appends_nothing,
                another_body_under_the_same_key_is_refused,
                the_same_key_in_another_channel_is_another_key,
                a_key_is_forgotten_after_its_window,
                past_the_bound_the_oldest_keys_are_forgotten,
                a_repeat_is_answered_after_its_channel_ended,
            }
            overview {
                channels_are_listed_by_name_and_paged,
                a_channel_tells_what_it_holds,
                totals_add_up_over_channels,
            }
            partitions {
                an_event_is_in_the_partition_of_its_channel_and_has_its_epoch,
                any_cursor_of_a_stream_over_all_channels_resumes_exactly,
                what_partitions_no_longer_have_is_one_gap_that_is_told_once,
                who_has_an_id_of_one_channel_gets_the_others_from_that_moment_on,
                a_cursor_of_another_life_in_one_partition_leaves_the_others_exact,
            }
            purging {
                a_purged_channel_has_nothing_and_goes_on_above_what_it_had,
                who_missed_what_was_purged_gets_a_certain_gap_that_says_so,
                what_is_trimmed_besides_is_told_as_trimmed,
                nothing_is_served_from_what_was_recent_and_the_tail_is_told,
                keys_of_a_purged_channel_still_answer_repeats,
                a_purged_channel_that_had_ended_stays_ended,
                purging_again_or_what_is_not_there_does_nothing,
                a_purge_is_still_one_after_a_restart_and_after_compactions,
                a_purge_is_forgotten_with_its_channel,
                a_log_that_was_closed_purges_nothing,
            }
            reading {
                reading_after_any_id_gives_exactly_what_follows,
                channels_and_patterns_are_merged_in_order_and_each_event_comes_once,
                a_page_ends_where_it_is_full_and_the_next_one_goes_on,
                a_page_always_gets_on,
                nothing_is_read_past_the_upper_end,
            }
            reopening {
                what_was_appended_is_back_and_ids_go_on_above_it,
                a_log_that_was_dropped_comes_back_whole,
                a_close_beside_appends_keeps_what_was_acknowledged,
                keys_survive_though_their_events_are_trimmed,
                limits_that_changed_hold_for_what_is_loaded,
                channels_that_ended_or_were_forgotten_stay_so,
            }
            resuming {
                latest_earliest_and_times_start_where_they_say,
                a_place_of_this_epoch_is_resumed_exactly,
                other_epochs_and_unknown_ids_get_a_possible_gap_and_all_there_is,
            }
            retention {
                no_more_events_than_the_limit_are_kept,
                no_more_bytes_than_the_limit_are_kept,
                events_that_are_too_old_are_dropped,
                each_channel_has_limits_of_its_own,
                past_the_limit_of_all_channels_the_oldest_give_way,
                idle_channels_are_forgotten_by_the_sweep,
                a_channel_that_keeps_nothing_still_delivers,
            }
        }
    };
    ($module:ident, $make:expr; $($file:ident { $($case:ident,)* })*) => {
        mod $module {
            $(mod $file {
                use super::super::*;
                $(#[tokio::test]
                async fn $case() {
                    suite::$file::$case(&$make).await;
                })*
            })*

            mod model {
                use super::super::*;

                #[test]
                fn pages_and_gaps_are_those_of_the_model() {
                    suite::model::pages_and_gaps_are_those_of_the_model(|| Box::new($make));
                }
            }
        }
    };
}

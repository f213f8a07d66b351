//! One trip.

use crate::random::Random;

const SECOND_US: i64 = 1_000_000;
const DAY_S: f64 = 86_400.0;
/// 2023-01-01, seconds since 1970-01-01 UTC.
const FIRST_PICKUP_S: f64 = 1_672_531_200.0;
/// A month of 31 days has about 18.5 million trips.
const TRIPS_PER_SECOND: f64 = 18_500_000.0 / (31.0 * DAY_S);
/// Zones and dispatching bases.
const ZONES: i64 = 265;
const BASES: i64 = 30;
/// Tolls of the city's bridges and tunnels, cents.
const TOLLS: [i64; 7] = [655, 694, 245, 1_475, 1_375, 1_119, 2_431];

/// Whether some trips are spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dirt {
    /// None.
    None,
    /// About one in a hundred, each in one of four ways.
    OnePercent,
}

/// A trip. Amounts are cents, distances thousandths of a mile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// Place in the list of companies.
    pub company: usize,
    /// Base that dispatched it.
    pub base: i64,
    /// Whether the base that took the call is known; then it is the same one.
    pub has_origin: bool,
    /// Microseconds since 1970-01-01 UTC, as all times.
    pub request_us: i64,
    /// Only one company reports it.
    pub on_scene_us: Option<i64>,
    /// The ride began.
    pub pickup_us: i64,
    /// The ride ended.
    pub dropoff_us: i64,
    /// Zone, 1 to 265.
    pub from_zone: i64,
    /// Zone, 1 to 265.
    pub to_zone: i64,
    /// Thousandths of a mile.
    pub miles: i64,
    /// Seconds.
    pub seconds: i64,
    /// Fare.
    pub fare: i64,
    /// Tolls.
    pub tolls: i64,
    /// For drivers' insurance.
    pub fund: i64,
    /// Sales tax.
    pub tax: i64,
    /// For driving in Manhattan.
    pub congestion: i64,
    /// For an airport; rarely unknown.
    pub airport: Option<i64>,
    /// Tips.
    pub tips: i64,
    /// What the driver got.
    pub pay: i64,
    /// `Y`, `N` or a space, in the order of [`super::FLAGS`].
    pub flags: [&'static str; 5],
}

/// Trips by number.
#[derive(Debug, Clone, Copy)]
pub struct Trips {
    /// Other seeds make other trips.
    pub seed: u64,
    /// Whether some are spoilt.
    pub dirt: Dirt,
}

impl Trips {
    /// The trip of this number, from 0.
    pub fn trip(&self, number: u64) -> Trip {
        let mut random = Random::new(self.seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        let mut trip = sound(&mut random, number);
        if self.dirt == Dirt::OnePercent && random.chance(0.01) {
            spoil(&mut trip, &mut random);
        }
        trip
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "numbers of trips and of miles")]
fn sound(random: &mut Random, number: u64) -> Trip {
    let uber = random.chance(0.73);
    let company = if uber { 0 } else { usize::from(random.chance(0.001)) + 1 };
    let base = match company {
        0 if random.chance(0.75) => 0,
        0 => 2 + skewed(random, BASES - 2),
        _ => 1,
    };
    let pickup_s = pickup_s(number as f64);
    let wait_s = 30 + (600.0 * random.unit() * (random.unit() + random.unit()) * random.unit()) as i64;
    let on_scene_s = random.between(wait_s / 2, wait_s);
    // Most rides are short, a few long.
    let miles = 0.4 + 1.1 * (1.0 / (0.02 + random.unit()) - 0.9) * (0.5 + random.unit());
    let miles = if uber { (miles * 100.0) as i64 * 10 } else { (miles * 1_000.0) as i64 };
    let pace_s = 140.0 + 90.0 * (random.unit() + random.unit() + random.unit());
    let seconds = 60 + random.between(0, 240) + (miles as f64 / 1_000.0 * pace_s) as i64;
    let dear = 0.7 + 0.5 * random.unit() + 0.4 * random.unit();
    let fare = 300 + miles * 175 / 1_000 + (seconds as f64 / 60.0 * 62.0 * dear) as i64;
    let tolls = if random.chance(0.09) { random.one_of(&TOLLS) } else { 0 };
    let tips = if random.chance(0.19) { fare * random.one_of(&[10, 15, 20, 25]) / 100 } else { 0 };
    let from_zone = 1 + skewed(random, ZONES);
    let mut flag = |share| if random.chance(share) { "Y" } else { "N" };
    let [shared, matched, wav, got_wav] = [flag(0.02), flag(0.006), flag(0.0015), flag(0.07)];
    Trip {
        company,
        base,
        has_origin: uber || random.chance(0.015),
        request_us: (pickup_s - wait_s) * SECOND_US,
        on_scene_us: uber.then(|| (pickup_s - wait_s + on_scene_s) * SECOND_US),
        pickup_us: pickup_s * SECOND_US,
        dropoff_us: (pickup_s + seconds) * SECOND_US,
        from_zone,
        to_zone: if random.chance(0.12) { from_zone } else { 1 + skewed(random, ZONES) },
        miles,
        seconds,
        fare,
        tolls,
        fund: (fare + tolls) * 3 / 100,
        tax: (fare + tolls) * 8_875 / 100_000,
        congestion: if random.chance(0.38) { random.one_of(&[275, 275, 275, 275, 275, 275, 75]) } else { 0 },
        airport: match random.unit() {
            share if share < 0.0005 => None,
            share if share < 0.0025 => Some(500),
            share if share < 0.0775 => Some(250),
            _ => Some(0),
        },
        tips,
        pay: (fare as f64 * (0.55 + 0.23 * (random.unit() + random.unit()))) as i64,
        flags: [shared, matched, if uber { " " } else { "N" }, wav, got_wav],
    }
}

/// When the ride of this number begins: ascending, with busy and quiet hours.
#[expect(clippy::cast_possible_truncation, reason = "whole seconds are wanted")]
fn pickup_s(number: f64) -> i64 {
    let days = number / TRIPS_PER_SECOND / DAY_S;
    let hour = days - days.floor();
    // A bend that keeps midnights where they are.
    let bent = hour + 0.9 * hour * (1.0 - hour) * (0.5 - hour);
    (FIRST_PICKUP_S + (days.floor() + bent) * DAY_S) as i64
}

/// 0 to `count` - 1, low numbers more often; the number then moves so that neighbours are unlike.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
fn skewed(random: &mut Random, count: i64) -> i64 {
    let share = random.unit();
    let place = (share * share.sqrt() * count as f64) as i64;
    (place * 97 + 41) % count
}

fn spoil(trip: &mut Trip, random: &mut Random) {
    match random.between(0, 9) {
        0..3 => trip.miles = -trip.miles,
        3..6 => trip.fare = -trip.fare,
        6..8 => trip.dropoff_us = trip.pickup_us - random.between(1, 600) * SECOND_US,
        _ => trip.seconds = -trip.seconds,
    }
}

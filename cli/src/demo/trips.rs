//! Sample trips as a for-hire company would report them: one in a hundred with something wrong.

use super::random::Random;

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
/// 2008-12-31, as stray meters write it.
const STRAY_CLOCK_US: i64 = 1_230_681_600 * SECOND_US;
/// Bases that dispatch.
const BASES: [&str; 8] = ["B03404", "B03406", "B02764", "B02765", "B02800", "B02835", "B02872", "B02882"];
/// Tolls of New York's bridges, cents.
const TOLLS: [u32; 5] = [655, 694, 245, 1475, 1119];

/// A trip. Money is in cents, distance in hundredths of a mile.
#[derive(Debug, Clone)]
pub struct Trip {
    /// The company.
    pub company: &'static str,
    /// The base that dispatched it.
    pub base: &'static str,
    /// The base that took the call.
    pub origin: Option<&'static str>,
    /// Asked for, microseconds since 1970-01-01.
    pub request_us: i64,
    /// The car arrived.
    pub on_scene_us: Option<i64>,
    /// The ride began.
    pub pickup_us: i64,
    /// The ride ended.
    pub dropoff_us: i64,
    /// Taxi zone.
    pub from_zone: i32,
    /// Taxi zone.
    pub to_zone: i32,
    /// Distance.
    pub miles: i32,
    /// Seconds.
    pub seconds: i32,
    /// Fare, then what comes on top.
    pub fare: i32,
    /// Tolls.
    pub tolls: i32,
    /// For drivers' insurance.
    pub fund: i32,
    /// Tax.
    pub tax: i32,
    /// For driving in Manhattan.
    pub congestion: i32,
    /// For an airport.
    pub airport: i32,
    /// Tips.
    pub tips: i32,
    /// What the driver got.
    pub pay: i32,
    /// Asked to share; shared; asked for a wheelchair; had one.
    pub flags: [&'static str; 4],
    /// `access_a_ride_flag`: mostly a space.
    pub access: &'static str,
}

impl Trip {
    /// The trip of this number, about `pickup_us`. Of a hundred in a row one is spoilt: by number, not by chance, so
    /// that no small file has too many.
    pub fn random(random: &mut Random, number: u64, pickup_us: i64) -> Self {
        let mut trip = Self::sound(random, pickup_us);
        if number % 100 == 57 {
            trip.spoil(random);
        }
        trip
    }

    fn sound(random: &mut Random, pickup_us: i64) -> Self {
        let uber = random.chance(7_300);
        let base = if uber { random.one_of(&BASES) } else { "B03406" };
        let wait_seconds = random.between(60, 900);
        let walked_seconds = random.below(wait_seconds / 2 + 1);
        // Most rides are short, a few long.
        let longest = random.between(100, 2_500);
        let miles = random.between(30, longest.max(30));
        let seconds = 60 + miles * random.between(150, 400) / 100;
        let fare = 300 + miles * 175 / 100 + seconds * 62 / 60 + random.below(200);
        let tolls = if random.chance(900) { random.one_of(&TOLLS) } else { 0 };
        let tips = if random.chance(1_900) { fare * random.one_of(&[10, 15, 20, 25]) / 100 } else { 0 };
        let mut flag = |of_10_000| if random.chance(of_10_000) { "Y" } else { "N" };
        let flags = [flag(200), flag(60), flag(15), flag(700)];
        Self {
            company: if uber { "HV0003" } else { "HV0005" },
            base,
            origin: if uber || random.chance(150) { Some(base) } else { None },
            request_us: pickup_us - i64::from(wait_seconds) * SECOND_US,
            on_scene_us: uber.then(|| pickup_us - i64::from(walked_seconds) * SECOND_US),
            pickup_us,
            dropoff_us: pickup_us + i64::from(seconds) * SECOND_US,
            from_zone: number(random.between(1, 263)),
            to_zone: number(random.between(1, 265)),
            miles: number(miles),
            seconds: number(seconds),
            fare: number(fare),
            tolls: number(tolls),
            fund: number((fare + tolls) * 3 / 100),
            tax: number((fare + tolls) * 8_875 / 100_000),
            congestion: if random.chance(3_700) { 275 } else { 0 },
            airport: if random.chance(750) { 250 } else { 0 },
            tips: number(tips),
            pay: number(fare * random.between(70, 86) / 100),
            flags,
            access: if uber { " " } else { "N" },
        }
    }

    /// Breaks one thing that real files break.
    fn spoil(&mut self, random: &mut Random) {
        match random.below(10) {
            0..3 => self.dropoff_us = self.pickup_us - i64::from(random.between(1, 600)) * SECOND_US,
            3..6 => self.fare = -self.fare,
            6 => self.seconds = -self.seconds,
            7 => self.miles = if random.chance(5_000) { -self.miles } else { 25_977_700 },
            8 => {
                let ride_us = self.dropoff_us - self.pickup_us;
                (self.request_us, self.on_scene_us) = (STRAY_CLOCK_US, None);
                (self.pickup_us, self.dropoff_us) = (STRAY_CLOCK_US, STRAY_CLOCK_US + ride_us);
            }
            _ => self.to_zone = random.one_of(&[0, 266, 999]),
        }
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

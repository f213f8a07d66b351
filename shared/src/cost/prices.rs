//! Prices, in US dollars.

/// What the functions run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// The template's default.
    X86_64,
    /// AWS Graviton.
    Arm64,
}

impl Architecture {
    /// What this program was built for.
    pub fn of_this_build() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// As the template spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// A region's prices: the first tier, without the free one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Lambda on x86_64, a GB-second.
    pub x86_64_gb_second: f64,
    /// Lambda on arm64, a GB-second.
    pub arm64_gb_second: f64,
    /// Lambda, an invocation.
    pub invocation: f64,
    /// S3 Standard, a PUT, COPY, POST or LIST.
    pub put: f64,
    /// S3 Standard, a GET or HEAD.
    pub get: f64,
    /// SQS standard queues, a request.
    pub queue: f64,
}

impl Prices {
    /// us-east-1 (N. Virginia), as listed by aws.amazon.com/lambda/pricing, /s3/pricing and /sqs/pricing in 2025. Amounts a
    /// million requests, or a GB-second, are what those pages state.
    pub const US_EAST_1: Self = Self {
        x86_64_gb_second: 0.000_016_666_7,
        arm64_gb_second: 0.000_013_333_4,
        invocation: 0.20 / 1e6,
        put: 5.00 / 1e6,
        get: 0.40 / 1e6,
        queue: 0.40 / 1e6,
    };

    /// A GB-second on this architecture.
    pub fn gb_second(&self, architecture: Architecture) -> f64 {
        match architecture {
            Architecture::X86_64 => self.x86_64_gb_second,
            Architecture::Arm64 => self.arm64_gb_second,
        }
    }
}

// The inputs of the fuzzer belong to no build.
#pragma once
#define BUILD_ID "00000000000000000000000000000000"
#define OCIRT_VERSION "0"
#define SPEC_VERSION "1.3.0"

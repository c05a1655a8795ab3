# What CI runs, by name. Without `just`, the lines can be pasted.

# Start the server
run *arguments:
    cargo run -- {{arguments}}

# All tests
test:
    cargo test

# What is generated, after a change of schema/
generate:
    UPDATE=1 cargo test --test generated

# The table in docs/CONFIGURATION.md, after a change of a setting
settings:
    UPDATE=1 cargo test --lib config

# Format, lints, tests, end to end
ci:
    .ci/run

# The same, with long fuzzing and many crashes
full:
    .ci/full

const { config } = require("./config.js");
const { bootstrap } = require("@vendure/core");

bootstrap(config).catch((error) => {
    console.error(error);
    process.exit(1);
});

const { config } = require("./config.js");
const { bootstrapWorker } = require("@vendure/core");

bootstrapWorker(config)
    .then((worker) => worker.startJobQueue())
    .catch((error) => {
        console.error(error);
        process.exit(1);
    });

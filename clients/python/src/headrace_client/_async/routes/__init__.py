"""All parts of the client. Made from docs/openapi.json by `python -m making`; do not edit."""

from headrace_client._async.routes.admin import AsyncAdminRoutes
from headrace_client._async.routes.certificates import AsyncCertificatesRoutes
from headrace_client._async.routes.collections import AsyncCollectionsRoutes
from headrace_client._async.routes.content import AsyncContentRoutes
from headrace_client._async.routes.courses import AsyncCoursesRoutes
from headrace_client._async.routes.credits import AsyncCreditsRoutes
from headrace_client._async.routes.enrolments import AsyncEnrolmentsRoutes
from headrace_client._async.routes.feed import AsyncFeedRoutes
from headrace_client._async.routes.health import AsyncHealthRoutes
from headrace_client._async.routes.holds import AsyncHoldsRoutes
from headrace_client._async.routes.images import AsyncImagesRoutes
from headrace_client._async.routes.invitations import AsyncInvitationsRoutes
from headrace_client._async.routes.keys import AsyncKeysRoutes
from headrace_client._async.routes.labels import AsyncLabelsRoutes
from headrace_client._async.routes.lessons import AsyncLessonsRoutes
from headrace_client._async.routes.me import AsyncMeRoutes
from headrace_client._async.routes.models import AsyncModelsRoutes
from headrace_client._async.routes.notifications import AsyncNotificationsRoutes
from headrace_client._async.routes.packs import AsyncPacksRoutes
from headrace_client._async.routes.payments import AsyncPaymentsRoutes
from headrace_client._async.routes.plans import AsyncPlansRoutes
from headrace_client._async.routes.playground import AsyncPlaygroundRoutes
from headrace_client._async.routes.promotions import AsyncPromotionsRoutes
from headrace_client._async.routes.provider_keys import AsyncProviderKeysRoutes
from headrace_client._async.routes.provisioning import AsyncProvisioningRoutes
from headrace_client._async.routes.quotes import AsyncQuotesRoutes
from headrace_client._async.routes.refill import AsyncRefillRoutes
from headrace_client._async.routes.search import AsyncSearchRoutes
from headrace_client._async.routes.sounds import AsyncSoundsRoutes
from headrace_client._async.routes.storage import AsyncStorageRoutes
from headrace_client._async.routes.subscription import AsyncSubscriptionRoutes
from headrace_client._async.routes.summaries import AsyncSummariesRoutes
from headrace_client._async.routes.tokens import AsyncTokensRoutes
from headrace_client._async.routes.usage import AsyncUsageRoutes
from headrace_client._async.routes.videos import AsyncVideosRoutes
from headrace_client._async.routes.webhooks import AsyncWebhooksRoutes
from headrace_client._async.sending import AsyncSender


class AsyncParts:
    """The parts of the client that are routes and nothing more."""

    def __init__(self, sender: AsyncSender) -> None:
        self.admin = AsyncAdminRoutes(sender)
        self.certificates = AsyncCertificatesRoutes(sender)
        self.collections = AsyncCollectionsRoutes(sender)
        self.content = AsyncContentRoutes(sender)
        self.courses = AsyncCoursesRoutes(sender)
        self.credits = AsyncCreditsRoutes(sender)
        self.enrolments = AsyncEnrolmentsRoutes(sender)
        self.feed = AsyncFeedRoutes(sender)
        self.health = AsyncHealthRoutes(sender)
        self.holds = AsyncHoldsRoutes(sender)
        self.images = AsyncImagesRoutes(sender)
        self.invitations = AsyncInvitationsRoutes(sender)
        self.keys = AsyncKeysRoutes(sender)
        self.labels = AsyncLabelsRoutes(sender)
        self.lessons = AsyncLessonsRoutes(sender)
        self.me = AsyncMeRoutes(sender)
        self.models = AsyncModelsRoutes(sender)
        self.notifications = AsyncNotificationsRoutes(sender)
        self.packs = AsyncPacksRoutes(sender)
        self.payments = AsyncPaymentsRoutes(sender)
        self.plans = AsyncPlansRoutes(sender)
        self.playground = AsyncPlaygroundRoutes(sender)
        self.promotions = AsyncPromotionsRoutes(sender)
        self.provider_keys = AsyncProviderKeysRoutes(sender)
        self.provisioning = AsyncProvisioningRoutes(sender)
        self.quotes = AsyncQuotesRoutes(sender)
        self.refill = AsyncRefillRoutes(sender)
        self.search = AsyncSearchRoutes(sender)
        self.sounds = AsyncSoundsRoutes(sender)
        self.storage = AsyncStorageRoutes(sender)
        self.subscription = AsyncSubscriptionRoutes(sender)
        self.summaries = AsyncSummariesRoutes(sender)
        self.tokens = AsyncTokensRoutes(sender)
        self.usage = AsyncUsageRoutes(sender)
        self.videos = AsyncVideosRoutes(sender)
        self.webhooks = AsyncWebhooksRoutes(sender)
